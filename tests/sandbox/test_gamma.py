"""Gamma describes every market in the venue's words, version one unless asked."""

import json
from typing import Any

import pytest

from execution.gamma import describe_market
from execution.sandbox.gamma_door import REQUESTS
from tests.doors import VirtualClock
from tests.sandbox.stage import Stage, stage


async def _markets(on: Stage, **query: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, object] = {}
    while True:
        page = await on.get(f"{on.box.urls.gamma}/markets/keyset", **query, **cursor, _=next(on.fresh))
        found += page["markets"]
        if "next_cursor" not in page:
            return found
        cursor = {"after_cursor": page["next_cursor"]}


@pytest.mark.parametrize(("query", "version"), [({}, "v1"), ({"version": "v1"}, "v1"), ({"version": "v2"}, "v2")])
async def test_only_the_version_asked_for_is_listed_and_that_is_one(query: dict[str, str], version: str) -> None:
    async with stage() as on:
        found = await _markets(on, limit=2, **query)
        expected = [each.condition_id for each in on.box.markets if each.version == version]
        assert [each["conditionId"] for each in found] == expected


async def test_the_engine_reads_every_market_as_it_is() -> None:
    async with stage() as on:
        for version in ("v1", "v2"):
            for row in await _markets(on, version=version):
                read, own = describe_market(row), on.box.world.markets[row["conditionId"]]
                assert (read.version, read.tokens, read.neg_risk) == (version, own.token_ids, own.neg_risk)
                assert (read.tick_micros, read.min_size_micros) == (own.tick_micros, 5_000_000)
                assert read.fee is not None
                assert read.fee.rate_bps == own.fee_rate_bps
                assert (read.accepting_orders, read.closed) == (True, False)


async def test_token_ids_are_text_within_text_and_some_of_version_one_carry_position_ids() -> None:
    async with stage() as on:
        rows = await _markets(on)
        assert all(len(json.loads(row["clobTokenIds"])) == 2 for row in rows)
        assert {"positionIds" in row for row in rows} == {True, False}


async def test_markets_are_found_by_condition_and_by_token() -> None:
    async with stage() as on:
        first, second = [each for each in on.box.markets if each.version == "v1"][:2]
        query = [("condition_ids", first.condition_id), ("condition_ids", second.condition_id)]
        async with on.session.get(f"{on.box.urls.gamma}/markets/keyset", params=query) as answer:
            found = [each["conditionId"] for each in (await answer.json())["markets"]]
        assert found == [first.condition_id, second.condition_id]
        (by_token,) = await _markets(on, clob_token_ids=second.token_ids[1])
        assert by_token["conditionId"] == second.condition_id
        newer = next(each for each in on.box.markets if each.version == "v2")
        (by_position,) = await _markets(on, version="v2", position_ids=newer.token_ids[0])
        assert by_position["conditionId"] == newer.condition_id


async def test_an_ended_market_is_found_only_among_the_closed_ones() -> None:
    async with stage() as on:
        market = on.box.markets[0]
        await on.box.world.resolve(market, market.token_ids[1])
        assert await _markets(on, condition_ids=market.condition_id) == []
        (row,) = await _markets(on, condition_ids=market.condition_id, closed="true")
        assert (row["closed"], row["acceptingOrders"], json.loads(row["outcomePrices"])) == (True, False, ["0", "1"])
        assert row["umaResolutionStatus"] == "resolved"


async def test_events_hold_their_markets() -> None:
    async with stage() as on:
        events = (await on.get(f"{on.box.urls.gamma}/events/keyset"))["events"]
        assert max(len(each["markets"]) for each in events) == 3


@pytest.mark.parametrize("query", [{"offset": 1}, {"limit": 101}, {"limit": 0}, {"after_cursor": "?"}])
async def test_what_cannot_be_read_is_refused(query: dict[str, object]) -> None:
    async with stage() as on:
        assert (await on.ask(f"{on.box.urls.gamma}/markets/keyset", **query))[0] == 422


async def test_requests_are_limited() -> None:
    async with stage(VirtualClock(), limited=True) as on:
        url = f"{on.box.urls.gamma}/markets/keyset"
        statuses = {(await on.ask(url, _=number))[0] for number in range(REQUESTS)}
        assert statuses == {200}
        assert (await on.ask(url, _="over"))[0] == 429


async def test_clamped_paging_repeats_a_page_and_a_stale_cache_its_prices() -> None:
    async with stage() as on:
        url = f"{on.box.urls.gamma}/markets/keyset"
        first = await on.get(url, limit=2)
        await on.box.faults.apply("gamma:clamp=1")
        assert (await on.get(url, limit=2, after_cursor=first["next_cursor"]))["markets"] == first["markets"]
        before = await _markets(on)
        await on.box.faults.apply("gamma:stale")
        await on.box.play(100)
        assert await _markets(on) == before
        on.box.faults.lift("gamma")
        assert await _markets(on) != before
