"""Whatever happens on the floor, in the end every micro is where its trades put it."""

from collections import Counter
from random import Random

import pytest

from tests.sandbox.exchange.traders import PLENTY, Trader, floor, trader
from tests.sandbox.stage import ONE, Stage

KINDS = ("FAK", "FAK", "FOK", "GTC", "GTC")
ORDERS = 60


async def _trade_about(on: Stage, traders: list[Trader], chance: Random) -> None:
    """Orders of every kind, good and bad, between the steps of a world that goes on."""
    for _ in range(ORDERS):
        market = chance.choice(on.box.markets[:4])
        view = on.box.board.view(market.token_ids[0])
        assert view is not None
        side, outcome = chance.choice(("BUY", "BUY", "SELL")), chance.randrange(2)
        price = view.last_micros if outcome == 0 else ONE - view.last_micros
        price += chance.randrange(-3, 4) * 10_000
        price = min(max(price // 10_000 * 10_000, 10_000), 990_000)
        who = chance.choice(traders)
        body = who.body(
            market,
            price=price,
            shares=chance.choice((5, 20, 100, 700)) * ONE,
            side=side,
            outcome=outcome,
            kind=chance.choice(KINDS),
        )
        await who.ask("POST", "/order", body)
        if chance.randrange(4) == 0:
            await on.box.play(3)
        if chance.randrange(15) == 0:
            await who.ask("DELETE", "/cancel-all")


@pytest.mark.parametrize("seed", range(4))
async def test_money_and_shares_are_what_the_confirmed_trades_say(seed: int) -> None:
    async with floor(seed=seed + 1) as (on, lena):
        traders = [lena, await trader(on, 2), await trader(on, 3)]
        await on.box.faults.apply("clob-orders:match_then_fail=20%")
        await on.box.faults.apply("clob-orders:partial=10%")
        await _trade_about(on, traders, Random(seed))
        for who in traders:
            await who.ask("DELETE", "/cancel-all")
        await on.box.exchange.settled()
        assert len(on.box.exchange.trades()) > ORDERS // 4
        for who in traders:
            cash, shares = _moved(on, who)
            assert on.box.exchange.cash(who.wallet) == on.box.exchange.free(who.wallet) == PLENTY + cash
            for token, change in shares.items():
                assert on.box.exchange.shares(who.wallet, token) == on.box.exchange.free(who.wallet, token) == change
                assert change >= 0


def _moved(on: Stage, who: Trader) -> tuple[int, Counter[int]]:
    """What an account's trades did to it, by the venue's own records of legs."""
    cash, shares = 0, Counter[int]()
    for record in on.box.exchange.floor.trades.values():
        for part in record.parts:
            if record.status == "CONFIRMED" and part.leg.wallet == who.wallet.lower():
                sign = 1 if part.leg.side == "BUY" else -1
                cash -= sign * part.leg.cash_micros + part.leg.fee_micros
                shares[part.leg.token_id] += sign * part.leg.shares_micros
    return cash, shares


@pytest.mark.parametrize("seed", range(4))
async def test_no_order_is_filled_beyond_what_was_signed(seed: int) -> None:
    async with floor(seed=seed + 1) as (on, lena):
        traders = [lena, await trader(on, 2), await trader(on, 3)]
        await _trade_about(on, traders, Random(seed))
        for record in on.box.exchange.floor.orders.values():
            assert record.spent_micros <= record.sent.making
            assert record.filled_micros <= record.sent.shares_micros
            # Never at a worse price than signed for, but for the micro that each trade is rounded by.
            asked = record.spent_micros * record.sent.taking // record.sent.making
            assert record.got_micros + len(record.trade_ids) >= asked
