"""The client against a CLOB that verifies, matches and fails by its own code: one order or none, truly told."""

import asyncio
from dataclasses import replace

import pytest

from execution.clob.balances import Balances
from execution.clob.login import obtain_credentials
from execution.clob.trades import read_trades
from execution.clob.user_stream import PING, read_frame, subscription
from execution.fees import FEE_STEP, FeeTerms
from execution.orders import OrderType
from execution.ports import (
    HoldUp,
    NotFound,
    NotTaken,
    Rejected,
    RejectReason,
    Resting,
    TradeStatus,
    Unknown,
)
from execution.sockets import WebSockets
from ledger.system import SystemClock
from ledger.units import ONE, Micros, Side
from tests.execution.clob.orders import FAY
from tests.execution.clob.sandbox_trader import KEY, PLENTY, SandboxTrader, domain_of, sandbox_trader

ORDERS = "clob-orders"
LOST_S = 0.3


async def test_credentials_are_made_once_and_found_again() -> None:
    async with sandbox_trader() as fay:
        again = await obtain_credentials(fay.client, fay.signer, address=KEY)
        assert again == fay.access.credentials
        assert fay.box.exchange.requests["POST /auth/api-key"] == 1


async def test_each_kind_of_market_takes_its_orders() -> None:
    async with sandbox_trader() as fay:
        markets = {domain_of(market): market for market in fay.box.markets if market.tick_micros == 10_000}
        assert len(markets) == 3
        for market in markets.values():
            order = fay.plan(market)
            assert await fay.submit(order) == Resting(matched=True, matched_micros=10 * ONE, final=True)
            assert (fay.arrived(order), fay.taken([order])) == (1, 1)


async def test_a_session_key_trades_for_its_deposit_wallet() -> None:
    async with sandbox_trader(session=True) as fay:
        order = fay.plan()
        assert await fay.submit(order) == Resting(matched=True, matched_micros=10 * ONE, final=True)
        truth = fay.box.exchange.order(order.order_hash)
        assert truth is not None
        assert (truth.wallet, truth.key) == (fay.access.wallet, KEY)


async def test_the_fills_of_an_order_are_those_of_the_venue() -> None:
    async with sandbox_trader() as fay:
        offered = fay.box.board.offers(fay.box.markets[0].token_ids[0], "BUY")
        order = fay.plan(ticks=5, size_micros=Micros((offered[0].shares_micros // ONE + 10) * ONE))
        before = fay.box.exchange.cash(KEY)
        await fay.submit(order)
        await fay.box.exchange.settled()
        state = await fay.look_up(order)
        assert isinstance(state, Resting)
        truth = fay.box.exchange.trades(order.order_hash)
        assert len(truth) > 1
        assert {(each.venue_trade_id, each.size_micros) for each in state.trades} == {
            (each.trade_id, each.shares_micros) for each in truth
        }
        assert {each.status for each in state.trades} == {TradeStatus.CONFIRMED}
        assert (state.final, state.matched_micros) == (True, order.size_micros)
        spent = before - fay.box.exchange.cash(KEY)
        ours = sum(each.cost_micros + each.fee_micros for each in state.trades)
        assert abs(ours - spent) <= len(truth) * FEE_STEP
        assert all(each.tx_hash for each in state.trades)


async def test_a_sale_gives_what_its_trades_say() -> None:
    async with sandbox_trader() as fay:
        market = fay.box.markets[0]
        await fay.submit(fay.plan(market))
        await fay.box.exchange.settled()
        before = fay.box.exchange.cash(KEY)
        order = fay.plan(market, side=Side.SELL)
        assert await fay.submit(order) == Resting(matched=True, matched_micros=10 * ONE, final=True)
        await fay.box.exchange.settled()
        state = await fay.look_up(order)
        assert isinstance(state, Resting)
        gained = sum(each.cost_micros - each.fee_micros for each in state.trades)
        assert abs(gained - (fay.box.exchange.cash(KEY) - before)) <= len(state.trades) * FEE_STEP


@pytest.mark.parametrize("kind", ["accept_then_timeout", "accept_then_cut", "accept_then_500"])
async def test_an_order_whose_answer_was_lost_stands_once_and_is_found(kind: str) -> None:
    async with sandbox_trader(timeout_s=LOST_S) as fay:
        await fay.box.faults.apply(f"{ORDERS}:{kind}=1")
        order = fay.plan()
        assert isinstance(await fay.submit(order), Unknown)
        state = await fay.look_up(order)
        assert isinstance(state, Resting)
        assert (state.matched, state.matched_micros, len(state.trades)) == (True, 10 * ONE, 1)
        assert (fay.arrived(order), fay.taken([order])) == (1, 1)


async def test_what_the_venue_shows_only_later_is_not_found_at_first() -> None:
    async with sandbox_trader() as fay:
        await fay.box.faults.apply(f"{ORDERS}:hide=1,400ms")
        await fay.box.faults.apply(f"{ORDERS}:accept_then_cut=1")
        order = fay.plan()
        assert isinstance(await fay.submit(order), Unknown)
        assert await fay.look_up(order) == NotFound()
        await SystemClock().sleep(0.5)
        assert isinstance(await fay.look_up(order), Resting)


async def test_an_error_without_an_order_stays_unknown_and_is_not_found() -> None:
    async with sandbox_trader() as fay:
        await fay.box.faults.apply(f"{ORDERS}:error_500=1")
        order = fay.plan()
        assert isinstance(await fay.submit(order), Unknown)
        assert (await fay.look_up(order), fay.taken([order])) == (NotFound(), 0)


@pytest.mark.parametrize("kind", ["reject", "reject_quietly"])
async def test_a_rejection_is_definite_in_either_form(kind: str) -> None:
    async with sandbox_trader() as fay:
        await fay.box.faults.apply(f"{ORDERS}:{kind}=1")
        order = fay.plan()
        answer = await fay.submit(order)
        assert isinstance(answer, Rejected)
        assert answer.reason is RejectReason.MARKET_CLOSED
        assert fay.taken([order]) == 0


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("restart_425", HoldUp.UNAVAILABLE),
        ("post_only_503", HoldUp.UNAVAILABLE),
        ("cancel_only_503", HoldUp.UNAVAILABLE),
        ("disabled_503", HoldUp.UNAVAILABLE),
        ("too_many_429", HoldUp.RATE_LIMITED),
    ],
)
async def test_what_was_not_looked_at_may_be_sent_again_and_is_one_order(kind: str, why: HoldUp) -> None:
    async with sandbox_trader() as fay:
        await fay.box.faults.apply(f"{ORDERS}:{kind}=1")
        order = fay.plan()
        first = await fay.submit(order)
        assert isinstance(first, NotTaken)
        assert first.why is why
        assert first.wait_s == {"post_only_503": 120, "restart_425": 1, "too_many_429": 1}.get(kind, 5)
        held = await fay.submit(order)
        assert isinstance(held, NotTaken)
        assert fay.arrived(order) == 1
        fay.forget_rates()
        assert isinstance(await fay.submit(order), Resting)
        assert (fay.arrived(order), fay.taken([order]), len(fay.box.exchange.trades(order.order_hash))) == (2, 1, 1)


async def test_the_same_bytes_again_are_the_same_order() -> None:
    async with sandbox_trader() as fay:
        order = fay.plan()
        first, second = await fay.submit(order), await fay.submit(order)
        assert isinstance(first, Resting)
        assert isinstance(second, Resting)
        assert (second.matched_micros, len(second.trades)) == (first.matched_micros, 1)
        assert len(fay.box.exchange.trades(order.order_hash)) == 1


async def test_an_answer_that_says_duplicate_to_a_first_attempt_is_looked_up() -> None:
    async with sandbox_trader() as fay:
        await fay.box.faults.apply(f"{ORDERS}:duplicate=1")
        answer = await fay.submit(fay.plan())
        assert isinstance(answer, Resting)
        assert answer.matched_micros == 10 * ONE


async def test_a_slow_answer_is_an_answer() -> None:
    async with sandbox_trader() as fay:
        await fay.box.faults.apply(f"{ORDERS}:slow=1,200ms")
        assert isinstance(await fay.submit(fay.plan()), Resting)


async def test_a_delayed_order_is_followed_to_its_end() -> None:
    async with sandbox_trader() as fay:
        await fay.box.faults.apply(f"{ORDERS}:delay=1,300ms")
        order = fay.plan()
        assert await fay.submit(order) == Resting(matched=False)
        assert await fay.look_up(order) == Resting(matched=False)
        await SystemClock().sleep(0.4)
        state = await fay.look_up(order)
        assert isinstance(state, Resting)
        assert (state.matched_micros, state.final) == (10 * ONE, True)


async def test_a_part_of_a_fak_is_the_part_that_was_matched() -> None:
    async with sandbox_trader() as fay:
        await fay.box.faults.apply(f"{ORDERS}:partial=1")
        order = fay.plan()
        answer = await fay.submit(order)
        assert answer == Resting(matched=True, matched_micros=5 * ONE, final=True)


async def test_a_killed_fok_that_was_partly_filled_is_what_its_trades_say() -> None:
    async with sandbox_trader() as fay:
        await fay.box.faults.apply(f"{ORDERS}:partial=1")
        answer = await fay.submit(fay.plan(order_type=OrderType.FOK))
        assert isinstance(answer, Resting)
        assert (answer.matched, answer.final, sum(each.size_micros for each in answer.trades)) == (True, True, 5 * ONE)


async def test_a_killed_fok_and_a_fak_without_a_match_were_not_filled() -> None:
    async with sandbox_trader() as fay:
        for order in (
            fay.plan(order_type=OrderType.FOK, size_micros=Micros(90_000 * ONE)),
            fay.plan(ticks=-5),
        ):
            answer = await fay.submit(order)
            assert isinstance(answer, Rejected)
            assert (answer.reason, fay.taken([order])) == (RejectReason.NO_FILL, 0)


async def test_a_match_that_fails_is_shown_as_failed() -> None:
    async with sandbox_trader() as fay:
        await fay.box.faults.apply(f"{ORDERS}:match_then_fail=1")
        order = fay.plan()
        assert isinstance(await fay.submit(order), Resting)
        await fay.box.exchange.settled()
        state = await fay.look_up(order)
        assert isinstance(state, Resting)
        assert [each.status for each in state.trades] == [TradeStatus.FAILED]
        assert fay.box.exchange.cash(KEY) == PLENTY


async def refused(fay: SandboxTrader, **changes: object) -> RejectReason:
    answer = await fay.submit(fay.plan(**changes))
    assert isinstance(answer, Rejected)
    return answer.reason


async def test_each_definite_no_has_its_reason() -> None:
    async with sandbox_trader() as fay:
        neg_risk = next(market for market in fay.box.markets if market.neg_risk)
        assert await refused(fay, domain=domain_of(neg_risk)) is RejectReason.WRONG_VERSION
        assert await refused(fay, size_micros=Micros(ONE)) is RejectReason.BELOW_MINIMUM
        assert await refused(fay, limit_micros=Micros(505_000), tick_micros=Micros(5_000)) is RejectReason.OFF_TICK
        fay.box.exchange.ban(KEY)
        assert await refused(fay) is RejectReason.ACCOUNT_REFUSED
        fay.box.exchange.ban(KEY, banned=False)
        fay.box.exchange.allow(KEY, 0)
        assert await refused(fay) is RejectReason.NOT_ENOUGH_BALANCE
        fay.access = replace(fay.access, credentials=replace(fay.access.credentials, passphrase="other"))
        assert await refused(fay) is RejectReason.ACCOUNT_REFUSED


async def test_a_resting_order_is_cancelled_by_its_hash() -> None:
    async with sandbox_trader() as fay:
        order = fay.plan(ticks=-5, order_type=OrderType.GTC)
        assert await fay.submit(order) == Resting(matched=False)
        assert await fay.look_up(order) == Resting(matched=False)
        assert await fay.venue.cancel(fay.ref(order))
        assert not await fay.venue.cancel(fay.ref(order))
        assert isinstance(await fay.look_up(order), NotFound | Rejected)


async def test_balances_are_those_of_the_wallet() -> None:
    async with sandbox_trader() as fay:
        order = fay.plan()
        await fay.submit(order)
        await fay.box.exchange.settled()
        balances = Balances(fay.client)
        cash = await balances.collateral(fay.access)
        shares = await balances.shares(fay.access, order.token_id, version=fay.box.markets[0].version)
        assert cash.micros == fay.box.exchange.cash(KEY)
        assert (shares.micros, min(cash.allowances.values()) > 0) == (10 * ONE, True)


async def test_the_user_channel_tells_each_step_of_a_fill() -> None:
    async with sandbox_trader() as fay:
        socket = await WebSockets().open(fay.box.urls.user, timeout_s=5)
        await socket.send(subscription(fay.access.credentials))
        await socket.send(PING)
        assert await socket.receive() == b"PONG"
        order = fay.plan()
        await fay.submit(order)
        steps: list[TradeStatus] = []
        shown = []
        async with asyncio.timeout(10):
            while TradeStatus.CONFIRMED not in steps:
                news = read_frame(await socket.receive())
                assert news.unread == 0
                found = read_trades(news.trades, {order.order_hash}, fee_of=lambda _token: FeeTerms(rate_bps=0))
                steps += [each.status for each in found]
                shown += [each.order_hash for each in news.orders]
        await socket.close()
        assert steps == [TradeStatus.MATCHED, TradeStatus.MINED, TradeStatus.CONFIRMED]
        assert set(shown) == {order.order_hash}


async def test_the_audit_sees_every_trade_of_the_account() -> None:
    async with sandbox_trader() as fay:
        orders = [fay.plan() for _ in range(3)]
        for order in orders:
            await fay.submit(order)
        found = await fay.venue.account_trades(FAY, since=fay.ref(orders[0]).since)
        assert {each.order_hash for each in found} == {order.order_hash for order in orders}


async def test_within_its_own_limits_nobody_is_refused_by_the_venue() -> None:
    async with sandbox_trader(limited=True) as fay:
        orders = [fay.plan(size_micros=Micros(5 * ONE), ticks=10) for _ in range(70)]
        answers = await asyncio.gather(*(fay.submit(order) for order in orders))
        sent = [order for order, answer in zip(orders, answers, strict=True) if not isinstance(answer, NotTaken)]
        assert 48 <= len(sent) < 70
        assert fay.taken(orders) == len(sent)
        assert fay.box.exchange.requests["POST /order"] == len(sent)
