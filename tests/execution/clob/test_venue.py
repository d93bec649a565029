"""`ClobVenue` sends once, never signs again, and lets order and trades say what became of it."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from execution.clob.order_wire import order_body
from execution.clob.rates import OrderRates, RateSettings
from execution.hosts import HostDown
from execution.http import SharedHttp
from execution.orders import OrderPlan, OrderType
from execution.ports import (
    HoldUp,
    NotFound,
    NotTaken,
    Outcome,
    Rejected,
    RejectReason,
    Resting,
    TradeStatus,
    Unknown,
)
from execution.venues.clob import ClobDoors, ClobVenue, FillsOnChain
from ledger.system import SeededRandomness
from ledger.units import ONE
from tests.doors import BEGINNING, VirtualClock
from tests.execution.clob.clob_double import ClobDouble, Reply, clob_client, page
from tests.execution.clob.orders import (
    API_KEY,
    FAY,
    PASSPHRASE,
    SECRET,
    SIGNATURE,
    SIGNER,
    WALLET,
    Book,
    Fees,
    access,
    maker_order,
    order_ref,
    plan,
    trade_row,
)

POST, TRADES, DELETE = "POST /order", "GET /data/trades", "DELETE /order"
FOK = plan(order_type=OrderType.FOK)
KILLED: Reply = (400, {"error": "order couldn't be fully filled. FOK orders are fully filled or killed."})
DUPLICATED: Reply = (400, {"error": f"order {plan().order_hash} is invalid. Duplicated."})
OTHER = "0x" + "22" * 32


def shown_order(order: OrderPlan | None = None, **changes: Any) -> dict[str, Any]:
    return {"id": (order or plan()).order_hash, "status": "LIVE", "size_matched": "0", **changes}


def order_key(order: OrderPlan | None = None) -> str:
    return f"GET /data/order/{(order or plan()).order_hash}"


def accepted(**changes: Any) -> Reply:
    values = {"success": True, "errorMsg": "", "orderID": plan().order_hash, "status": "matched"}
    return 200, {**values, "makingAmount": "5.14", "takingAmount": "10", "tradeIDs": ["trade-1"], **changes}


@dataclass
class Scene:
    clock: VirtualClock
    double: ClobDouble
    book: Book = field(default_factory=Book)
    fees: Fees = field(default_factory=Fees)
    rejected: list[tuple[OrderPlan, int, Rejected]] = field(default_factory=list)
    chain: FillsOnChain | None = None

    def venue(self, client: Any) -> ClobVenue:
        self.rates = OrderRates(self.clock, SeededRandomness(1), settings=RateSettings())
        doors = ClobDoors(
            client=client,
            access=self.book,
            rates=self.rates,
            fees=self.fees,
            clock=self.clock,
            on_rejected=lambda *told: self.rejected.append(told),
            chain=self.chain,
        )
        return ClobVenue(doors)


@asynccontextmanager
async def trading(
    post: Reply | None = None, *, timeout_s: float = 5.0, chain: FillsOnChain | None = None
) -> AsyncIterator[tuple[Scene, ClobVenue]]:
    """A venue that answers an order with this, holds no order and knows no trade."""
    scene = Scene(VirtualClock(), ClobDouble(), chain=chain)
    scene.double.reply(TRADES, page())
    if post is not None:
        scene.double.reply(POST, post)
    async with scene.double.serving(scene.clock, timeout_s=timeout_s) as client:
        yield scene, scene.venue(client)


async def submit(venue: ClobVenue, order: OrderPlan | None = None) -> Outcome:
    return await venue.submit(order or plan(), SIGNATURE, follower_id=FAY)


async def test_an_order_is_sent_once_as_its_exact_bytes() -> None:
    async with trading(accepted()) as (on, venue):
        assert await submit(venue) == Resting(matched=True, matched_micros=10 * ONE, final=True)
    (asked,) = on.double.asked
    assert asked.body == order_body(plan(), SIGNATURE, owner=API_KEY)
    assert on.rejected == []


async def test_a_delayed_order_waits() -> None:
    async with trading(accepted(status="delayed", takingAmount="", makingAmount="")) as (_on, venue):
        assert await submit(venue) == Resting(matched=False)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ((400, {"error": "not enough balance / allowance"}), RejectReason.NOT_ENOUGH_BALANCE),
        ((400, {"error": "order_version_mismatch"}), RejectReason.WRONG_VERSION),
        ((401, {}), RejectReason.ACCOUNT_REFUSED),
        ((403, b"<html>"), RejectReason.BLOCKED),
        (accepted(orderID=""), RejectReason.REJECTED),
    ],
)
async def test_a_definite_no_is_told_to_those_who_remember(reply: Reply, outcome: RejectReason) -> None:
    async with trading(reply) as (on, venue):
        answer = await submit(venue)
    assert isinstance(answer, Rejected)
    assert answer.reason is outcome
    assert on.rejected == [(plan(), FAY, answer)]


@pytest.mark.parametrize("trouble", ["silent", "cut"])
async def test_a_lost_answer_is_unknown_and_nothing_is_sent_again(trouble: str) -> None:
    async with trading(accepted(), timeout_s=0.2) as (on, venue):
        getattr(on.double, trouble).add(POST)
        assert isinstance(await submit(venue), Unknown)
        assert len(on.double.asked) == 1


@pytest.mark.parametrize(
    "reply",
    [
        (500, {"error": "order timed out"}),
        (502, b"<html>"),
        (200, b'{"success":tr'),
        accepted(orderID=OTHER),
        accepted(takingAmount="1000"),
        (200, b"\x1f\x8b gzip", {"Content-Encoding": "gzip"}),
    ],
)
async def test_an_ambiguous_answer_is_unknown_and_nothing_is_asked_at_once(reply: Reply) -> None:
    async with trading(reply) as (on, venue):
        assert isinstance(await submit(venue), Unknown)
        assert len(on.double.asked) == 1


async def test_a_refused_connection_was_provably_not_taken() -> None:
    scene, http = Scene(VirtualClock(), ClobDouble()), SharedHttp()
    venue = scene.venue(clob_client(http, scene.clock, url="http://127.0.0.1:1"))
    answer = await submit(venue)
    await http.close()
    assert isinstance(answer, NotTaken)
    assert answer.why is HoldUp.UNAVAILABLE


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ((425, b"service not ready", {"Retry-After": "2"}), HoldUp.UNAVAILABLE),
        ((429, b"error code: 1015", {"Retry-After": "2"}), HoldUp.RATE_LIMITED),
        ((503, {"error": "post-only mode: only", "retry_after_seconds": 2}), HoldUp.UNAVAILABLE),
    ],
)
async def test_a_venue_that_takes_nothing_is_left_alone_by_everybody(reply: Reply, why: HoldUp) -> None:
    async with trading(reply) as (on, venue):
        first, second = await submit(venue), await submit(venue, plan(salt=2))
        assert (len(on.double.asked), on.rates.held) == (1, True)
        on.clock.advance(2)
        on.double.reply(POST, accepted())
        assert isinstance(await submit(venue), Resting)
    assert isinstance(first, NotTaken)
    assert isinstance(second, NotTaken)
    assert (first.why, first.wait_s, second.wait_s) == (why, 2, 2)
    assert on.double.asked[0].body == on.double.asked[1].body


async def test_a_signer_that_used_up_its_orders_holds_nobody_else() -> None:
    used_up = (429, b"", {"Retry-After": "2", "Poly-RateLimit-Remaining": "0", "Poly-RateLimit-Reset": "2"})
    async with trading(used_up) as (on, venue):
        assert isinstance(await submit(venue), NotTaken)
        assert not on.rates.held
        assert on.rates.peek_ms(SIGNER) == pytest.approx(2_000)
        assert on.rates.peek_ms(WALLET) == 0


async def test_a_killed_order_without_trades_was_not_filled() -> None:
    async with trading(KILLED) as (on, venue):
        answer = await submit(venue, FOK)
    assert isinstance(answer, Rejected)
    assert answer.reason is RejectReason.NO_FILL
    assert len(on.double.to(TRADES)) == 1


async def test_a_killed_order_that_has_filled_is_what_its_trades_say() -> None:
    async with trading(KILLED) as (on, venue):
        on.double.reply(TRADES, page(trade_row(FOK.order_hash, size="6", price="0.51", maker_orders=[])))
        answer = await submit(venue, FOK)
    assert isinstance(answer, Resting)
    assert (answer.matched, answer.matched_micros, answer.final) == (True, 6 * ONE, True)
    assert [trade.size_micros for trade in answer.trades] == [6 * ONE]


async def test_a_killed_order_whose_trades_cannot_be_read_is_unknown() -> None:
    async with trading(KILLED) as (on, venue):
        on.double.reply(TRADES, (500, {}))
        assert isinstance(await submit(venue, FOK), Unknown)


async def test_a_duplicate_was_accepted_earlier_and_is_looked_up() -> None:
    async with trading(DUPLICATED) as (on, venue):
        on.double.reply(TRADES, page(trade_row(plan().order_hash)))
        answer = await submit(venue)
    assert isinstance(answer, Resting)
    assert (answer.matched_micros, len(answer.trades)) == (10 * ONE, 1)


async def test_a_duplicate_that_nobody_shows_yet_stands_all_the_same() -> None:
    async with trading(DUPLICATED) as (_on, venue):
        assert await submit(venue) == Resting(matched=False)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (shown_order(), Resting(matched=False)),
        (shown_order(status="DELAYED"), Resting(matched=False)),
        (shown_order(status="UNMATCHED"), Resting(matched=False)),
        (shown_order(size_matched="4"), Resting(matched=True, matched_micros=4 * ONE, final=False)),
        (
            shown_order(status="MATCHED", size_matched="10"),
            Resting(matched=True, matched_micros=10 * ONE, final=True),
        ),
        (shown_order(status="MATCHED"), Resting(matched=True, final=True)),
        (
            shown_order(status="CANCELED", size_matched="4"),
            Resting(matched=True, matched_micros=4 * ONE, final=True),
        ),
        (
            shown_order(status="CANCELED_NOT_ENOUGH_BALANCE"),
            Rejected(reason=RejectReason.NO_FILL, detail="The venue shows it as dead."),
        ),
        (shown_order(status="INVALID"), Rejected(reason=RejectReason.REJECTED, detail="The venue shows it as dead.")),
        (None, NotFound()),
    ],
)
async def test_an_order_is_what_the_venue_shows_of_it(shown: Any, expected: object) -> None:
    async with trading() as (on, venue):
        on.double.reply(order_key(), (200, shown))
        assert await venue.look_up(order_ref(plan())) == expected


async def test_an_order_that_is_gone_is_what_its_trades_say() -> None:
    other = trade_row(OTHER, id="trade-9", size="nonsense")
    async with trading() as (on, venue):
        on.double.reply(TRADES, page(trade_row(plan().order_hash, status="TRADE_STATUS_CONFIRMED"), other))
        state = await venue.look_up(order_ref(plan()))
    assert isinstance(state, Resting)
    assert (state.matched, state.matched_micros, state.final) == (True, 10 * ONE, True)
    assert [(trade.status, trade.cost_micros) for trade in state.trades] == [(TradeStatus.CONFIRMED, 5_140_000)]


async def test_trades_are_asked_after_the_order_and_from_before_it_was_sent() -> None:
    async with trading() as (on, venue):
        await venue.look_up(order_ref(plan()))
    assert [asked.path for asked in on.double.asked] == [f"/data/order/{plan().order_hash}", "/data/trades"]
    assert int(on.double.asked[1].query["after"]) == int(BEGINNING.timestamp()) - 60


async def test_a_fill_of_our_resting_order_is_its_own_part() -> None:
    row = trade_row(OTHER, trader_side="MAKER", maker_orders=[maker_order(plan().order_hash, "4", "0.52", side="BUY")])
    async with trading() as (on, venue):
        on.double.reply(TRADES, page(row))
        state = await venue.look_up(order_ref(plan()))
    assert isinstance(state, Resting)
    assert [(trade.maker, trade.size_micros, trade.fee_micros) for trade in state.trades] == [(True, 4 * ONE, 0)]


@pytest.mark.parametrize(
    ("key", "reply"),
    [
        (order_key(), (500, {})),
        (order_key(), (401, {})),
        (order_key(), (200, b"<html>")),
        (order_key(), (200, shown_order(id=OTHER))),
        (order_key(), (200, shown_order(size_matched="much"))),
        (TRADES, (503, {})),
        (TRADES, page(trade_row(plan().order_hash, size="0"))),
    ],
)
async def test_nothing_is_concluded_from_half_an_answer(key: str, reply: Reply) -> None:
    async with trading() as (on, venue):
        on.double.reply(key, reply)
        assert isinstance(await venue.look_up(order_ref(plan())), Unknown)


async def test_no_fill_is_read_while_the_fee_of_its_market_is_not_known() -> None:
    async with trading() as (on, venue):
        on.fees.terms = None
        on.double.reply(TRADES, page(trade_row(plan().order_hash)))
        assert isinstance(await venue.look_up(order_ref(plan())), Unknown)


@pytest.mark.parametrize(
    ("body", "later", "gone"),
    [
        ({"canceled": [plan().order_hash]}, False, True),
        ({"canceled": [], "not_canceled": {plan().order_hash: "the order is already canceled"}}, False, True),
        ({"not_canceled": {plan().order_hash: "the order was matched"}}, False, True),
        ({"not_canceled": {plan().order_hash: "order can't be found - already canceled or matched"}}, False, False),
        ({"not_canceled": {plan().order_hash: "order can't be found - already canceled or matched"}}, True, True),
        ({"not_canceled": {plan().order_hash: "try again"}}, True, False),
        ({"canceled": [OTHER]}, True, False),
        (b"<html>", True, False),
    ],
)
async def test_a_cancel_is_believed_when_it_is_definite(body: object, later: bool, gone: bool) -> None:
    async with trading() as (on, venue):
        on.clock.advance(timedelta(minutes=2).total_seconds() if later else 0)
        on.double.reply(DELETE, (200, body))
        assert await venue.cancel(order_ref(plan())) is gone


async def test_the_audit_sees_trades_where_no_fee_is_known_and_nothing_else_is_read_of_them() -> None:
    elsewhere = trade_row(
        OTHER, id="trade-2", asset_id="424242", maker_orders=[maker_order("0x" + "01" * 32, "10", "0.51")]
    )
    async with trading() as (on, venue):
        on.fees.unknown = {424242}
        on.double.reply(TRADES, page(trade_row(plan().order_hash), elsewhere))
        found = await venue.account_trades(FAY, since=BEGINNING)
        assert {trade.order_hash: trade.fee_micros > 0 for trade in found} == {plan().order_hash: True, OTHER: False}
        with pytest.raises(HostDown, match="fee"):
            await venue.own_parts([elsewhere], access())


async def test_the_audit_sees_orders_that_nobody_here_knows() -> None:
    own_wallet_made = maker_order(OTHER, "10", "0.49", maker_address=SIGNER)
    rows = (
        trade_row("0x" + "33" * 32),
        trade_row("0x" + "44" * 32, id="trade-2", trader_side="MAKER", maker_orders=[own_wallet_made]),
    )
    async with trading() as (on, venue):
        on.double.reply(TRADES, page(*rows))
        found = await venue.account_trades(FAY, since=BEGINNING)
        assert {(trade.order_hash, trade.maker) for trade in found} == {("0x" + "33" * 32, False), (OTHER, True)}
        on.double.reply(TRADES, page(trade_row(OTHER, size="0")))
        with pytest.raises(HostDown):
            await venue.account_trades(FAY, since=BEGINNING)


async def test_no_secret_and_no_signature_is_in_any_answer_or_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = f"{API_KEY} {SECRET} {PASSPHRASE} 0x{SIGNATURE.hex()}"
    seen = []
    for reply in ((400, {"error": echo}), (500, {"error": echo}), accepted(errorMsg=echo), (401, echo), (425, echo)):
        async with trading(reply) as (_on, venue):
            seen.append(repr(await submit(venue)))
    async with trading(accepted(), timeout_s=0.1) as (on, venue):
        on.double.silent.add(POST)
        seen.append(repr(await submit(venue)))
    printed = capfd.readouterr()
    text = " ".join((*seen, caplog.text, printed.out, printed.err))
    secrets = (API_KEY, SECRET, PASSPHRASE, SIGNATURE.hex())
    assert [secret for secret in secrets if secret in text] == []
