"""Pages and positions of the Data API are read as they come, recorded ones too, and nothing is believed by half."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from copytrading.signals import DATA_API, LeaderAction, parse_row
from execution.data_api import ROWS_MAX, Window
from execution.envelopes import EnvelopeError, padded_condition, read_page, read_position
from execution.hosts import HostDown, HostRefused
from execution.wire import decode
from ledger.units import ONE
from tests.doors import VirtualClock
from tests.factories import wallet
from tests.sources.data_api import CONDITION, TOKEN, DataApiDouble, position, refusing

LENA = wallet("Lena")


def envelope(rows: int = 1, **pagination: Any) -> dict[str, Any]:
    return {"data": [{}] * rows, "pagination": pagination}


def test_the_recorded_envelope_is_a_last_page(shared_data: Path) -> None:
    page = read_page(decode((shared_data / "activity/v2_trades_envelope.json").read_bytes()), limit=1_000)
    assert (len(page.rows), page.more, page.full, page.next_cursor) == (3, False, False, None)


def test_the_recorded_rows_are_trades(shared_data: Path) -> None:
    rows = decode((shared_data / "activity/v2_activity_official_fixture.json").read_bytes())
    assert isinstance(rows, list)
    parsed = [parse_row(row, source=DATA_API, place="fixture") for row in rows]
    assert all(isinstance(each, LeaderAction) for each in parsed)
    assert len(parsed) == 2


@pytest.mark.parametrize(
    ("value", "more", "full"),
    [
        (envelope(has_more=False, next_cursor=None, limit=100), False, False),
        (envelope(has_more=True, next_cursor=None, limit=100), True, False),
        (envelope(has_more=False, next_cursor="abc", limit=100), True, False),
        (envelope(has_more=False, next_cursor="", limit=100), False, False),
        (envelope(10, has_more=False), False, True),
        (envelope(5, has_more=False, limit=5), False, True),
        ({"data": []}, False, False),
    ],
)
def test_a_page_has_more_when_it_says_so_and_may_when_it_is_full(value: object, more: bool, full: bool) -> None:
    page = read_page(value, limit=10)
    assert (page.more, page.full) == (more, full)


@pytest.mark.parametrize(
    "value",
    [[], {}, None, {"data": {}}, {"data": [], "pagination": {"next_cursor": 7}}, envelope(next_cursor="x" * 3_000)],
)
def test_what_is_no_page_is_refused(value: object) -> None:
    with pytest.raises(EnvelopeError):
        read_page(value, limit=10)


def test_a_position_is_what_is_held_now() -> None:
    row = {**position(LENA.upper().replace("0X", "0x"), TOKEN, "12.5", price="0.42"), "total_size": Decimal(99)}
    found = read_position(row)
    assert (found.wallet, found.token_id, found.condition_id) == (LENA, TOKEN, CONDITION)
    assert (found.size_micros, found.price_micros) == (12_500_000, 420_000)


@pytest.mark.parametrize("price", ["0", "1", "-1", "nonsense", None])
def test_a_price_outside_the_open_interval_is_none(price: str | None) -> None:
    assert read_position({**position(LENA, TOKEN, "1"), "current_price": price}).price_micros is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"proxy_wallet": "0x1"},
        {"token_id": 0},
        {"token_id": True},
        {"token_id": 2**256},
        {"token_id": "1e3"},
        {"condition_id": ""},
        {"current_size": -1},
        {"current_size": None},
        {"current_size": Decimal("NaN")},
    ],
)
def test_a_position_that_cannot_be_trusted_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(EnvelopeError):
        read_position({**position(LENA, TOKEN, "1"), **wrong})
    with pytest.raises(EnvelopeError):
        read_position([])


def test_a_condition_of_31_bytes_is_padded_on_the_right() -> None:
    assert padded_condition("0x" + "AB" * 31) == "0x" + "ab" * 31 + "00"
    assert padded_condition(CONDITION) == CONDITION


async def test_positions_are_asked_for_of_any_size() -> None:
    clock, double = VirtualClock(), DataApiDouble()
    double.positions = [position(LENA, TOKEN, "0.000001")]
    async with double.serving(clock) as api:
        page = await api.positions(LENA, status="OPEN")
    (row,) = page.rows
    assert read_position(row).size_micros == 1 < ONE


async def test_every_address_is_asked_once() -> None:
    clock, double = VirtualClock(), DataApiDouble()
    async with double.serving(clock) as api:
        for _ in range(20):
            await api.activity(LENA, Window(start_s=5, end_s=9), cursor="MA==")
    queries = double.queries()
    assert len({query["_"] for query in queries}) == 20
    assert {(query["start"], query["end"], query["cursor"], query["limit"]) for query in queries} == {
        ("5", "9", "MA==", str(ROWS_MAX))
    }


async def test_a_refusal_is_not_asked_again_and_an_error_three_times() -> None:
    clock, double = VirtualClock(), DataApiDouble()
    async with double.serving(clock) as api:
        double.always = refusing(400)
        with pytest.raises(HostRefused, match="400"):
            await api.activity(LENA, Window(start_s=5))
        double.always = refusing(503)
        with pytest.raises(HostDown, match="503"):
            await api.activity(LENA, Window(start_s=5))
    assert len(double.asked) == 4


@pytest.mark.parametrize("body", ["<html>", "[]", json.dumps({"data": 5})])
async def test_an_answer_that_is_no_page_is_an_error(body: str) -> None:
    clock, double = VirtualClock(), DataApiDouble()
    answer = refusing(200)
    double.always = lambda request, page: _with(answer(request, page), body)
    async with double.serving(clock) as api:
        with pytest.raises(HostDown):
            await api.activity(LENA, Window(start_s=5))


def _with(response: Any, body: str) -> Any:
    response.text = body
    return response
