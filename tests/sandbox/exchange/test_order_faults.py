"""What goes wrong at the door of orders: how it is answered, and what the venue really holds afterwards."""

import aiohttp
import pytest

from execution.sandbox.exchange.order_door import Mode
from tests.sandbox.exchange.traders import Trader, asks, floor
from tests.sandbox.stage import ONE, Stage

TAKEN, NOT_TAKEN = 1, 0


async def _answer(on: Stage, lena: Trader) -> tuple[int, str]:
    """Status and text of a good order; 0 where the connection ended without an answer."""
    market = on.box.markets[0]
    try:
        status, body, _ = await lena.ask("POST", "/order", lena.body(market, price=asks(on, market)[0]))
    except aiohttp.ClientConnectionError:
        return 0, ""
    return status, body.get("error") or body["errorMsg"] or body["status"]


FAULTS = [
    ("accept_then_timeout=1,1ms", 0, "", TAKEN),
    ("accept_then_cut=1", 0, "", TAKEN),
    ("accept_then_500=1", 500, "order timed out", TAKEN),
    ("duplicate=1", 400, "Duplicated.", TAKEN),
    ("slow=1,1ms", 200, "matched", TAKEN),
    ("reject=1", 400, "the market is not yet ready", NOT_TAKEN),
    ("reject_quietly=1", 200, "the market is not yet ready", NOT_TAKEN),
    ("error_500=1", 500, "could not run the execution", NOT_TAKEN),
    ("restart_425=1", 425, "service not ready", NOT_TAKEN),
    ("post_only_503=1", 503, "post-only mode: only post-only orders and cancels are allowed", NOT_TAKEN),
    ("cancel_only_503=1", 503, "Trading is currently cancel-only.", NOT_TAKEN),
    ("disabled_503=1", 503, "Trading is currently disabled.", NOT_TAKEN),
    ("too_many_429=1", 429, "Too Many Requests", NOT_TAKEN),
]


@pytest.mark.parametrize(("fault", "status", "text", "taken"), FAULTS, ids=[each[0] for each in FAULTS])
async def test_each_fault_is_answered_so_and_leaves_so_many_orders(
    fault: str, status: int, text: str, taken: int
) -> None:
    async with floor() as (on, lena):
        await on.box.faults.apply(f"clob-orders:{fault}")
        found, told = await _answer(on, lena)
        assert (found, text in told) == (status, True), told
        assert len(on.box.exchange.orders()) == taken
        assert sum(on.box.exchange.received.values()) == 1
        assert (await _answer(on, lena))[0] == 200


async def test_a_fault_may_be_there_from_the_beginning() -> None:
    async with floor(faults=("clob-orders:reject=1",)) as (on, lena):
        assert (await _answer(on, lena))[0] == 400
        assert (await _answer(on, lena))[0] == 200


async def test_half_of_a_partial_fill_is_there() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        await on.box.faults.apply("clob-orders:partial=1")
        posted = await lena.post(market, price=asks(on, market)[0])
        truth = on.box.exchange.order(posted["orderID"])
        assert truth is not None
        assert (truth.status, truth.filled_micros) == ("MATCHED", 5 * ONE)


async def test_a_fok_order_that_was_reported_killed_has_filled_in_part() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        await on.box.faults.apply("clob-orders:partial=1")
        status, told = await lena.refused(market, price=asks(on, market)[0], kind="FOK")
        assert (status, told) == (400, "order couldn't be fully filled. FOK orders are fully filled or killed.")
        (truth,) = on.box.exchange.orders()
        assert truth.filled_micros == 5 * ONE
        assert len(await lena.rows("/data/trades")) == 1


async def test_a_hidden_order_is_shown_later() -> None:
    async with floor() as (on, lena):
        await on.box.faults.apply("clob-orders:hide=1,3600s")
        market = on.box.markets[0]
        posted = await lena.post(market, price=asks(on, market)[0])
        resting = await lena.post(market, price=50_000, shares=20 * ONE, kind="GTC")
        assert await lena.rows("/data/trades") == []
        on.box.exchange.floor.orders[posted["orderID"]].shown_from_ms = 0
        assert len(await lena.rows("/data/trades")) == 1
        assert [row["id"] for row in await lena.rows("/data/orders")] == [resting["orderID"]]


async def test_the_same_bytes_after_a_lost_answer_are_a_duplicate() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        body = lena.body(market, price=asks(on, market)[0])
        await on.box.faults.apply("clob-orders:accept_then_cut=1")
        with pytest.raises(aiohttp.ClientConnectionError):
            await lena.ask("POST", "/order", body)
        assert "Duplicated." in (await lena.ask("POST", "/order", body))[1]["error"]
        (order_hash,) = on.box.exchange.received
        assert on.box.exchange.received[order_hash] == 2
        assert len(on.box.exchange.orders()) == 1


MODES = [
    (Mode.RESTARTING, 425, 425),
    (Mode.POST_ONLY, 503, 200),
    (Mode.CANCEL_ONLY, 503, 200),
    (Mode.DISABLED, 503, 503),
]


@pytest.mark.parametrize(("mode", "posting", "cancelling"), MODES)
async def test_a_mode_lasts_and_says_what_it_still_takes(mode: Mode, posting: int, cancelling: int) -> None:
    async with floor() as (on, lena):
        resting = await lena.post(on.box.markets[0], price=50_000, shares=20 * ONE, kind="GTC")
        on.box.exchange.set_mode(mode)
        for _ in range(2):
            assert (await _answer(on, lena))[0] == posting
        assert (await lena.ask("DELETE", "/order", {"orderID": resting["orderID"]}))[0] == cancelling
        on.box.exchange.set_mode(Mode.OPEN)
        assert (await _answer(on, lena))[0] == 200


async def test_post_only_orders_pass_in_post_only_mode() -> None:
    async with floor() as (on, lena):
        on.box.exchange.set_mode(Mode.POST_ONLY)
        market = on.box.markets[0]
        status, body, headers = await lena.ask("POST", "/order", lena.body(market, price=asks(on, market)[0]))
        assert (status, body["code"], body["retry_after_seconds"]) == (503, "post_only_mode", 120)
        assert headers["Retry-After"] == "120"
        posted = await lena.post(market, price=50_000, shares=20 * ONE, kind="GTC", post_only=True)
        assert posted["status"] == "live"


async def test_a_batch_whose_answer_is_lost_was_taken() -> None:
    async with floor() as (on, lena):
        bodies = [lena.body(on.box.markets[0], price=50_000, kind="GTC", shares=20 * ONE) for _ in range(3)]
        await on.box.faults.apply("clob-orders:accept_then_cut=1")
        with pytest.raises(aiohttp.ClientConnectionError):
            await lena.ask("POST", "/orders", bodies)
        assert len(on.box.exchange.orders()) == 3


@pytest.mark.parametrize(("kind", "status"), [("429", 429), ("5xx", 503)])
async def test_questions_about_an_account_can_be_refused(kind: str, status: int) -> None:
    async with floor() as (on, lena):
        await on.box.faults.apply(f"clob-account:{kind}=1")
        url = f"{on.box.urls.clob}/data/trades"
        async with on.session.get(url) as answer:
            assert answer.status == status
        assert (await lena.ask("GET", "/data/trades"))[0] == 200
