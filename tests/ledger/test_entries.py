"""Entries: every asset sums to zero, cash is what was paid and earned, and profit is known from them alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.ports import Fill
from execution.positions import Holding, after_fill
from ledger.entries import CASH, Entry, FillFacts, account, deposit, fill_entries, net
from ledger.units import ONE, Micros, Side, cost_down, cost_up

FAY, TOKEN = 7, 7001
MINE = {name: (account(FAY, name), CASH) for name in ("cash", "cost", "profit", "fees")}
SHARES = (account(FAY, "shares"), str(TOKEN))


@dataclass(frozen=True, slots=True)
class Trade:
    """A fill as the venue tells it; a SELL of `parts` tenths of what is held then."""

    side: Side
    size_micros: int
    price_micros: int
    fee_micros: int


trades = st.lists(
    st.builds(Trade, st.sampled_from(Side), st.integers(1, 10**12), st.integers(1, ONE - 1), st.integers(0, 10**9)),
    max_size=12,
)


def facts(side: Side = Side.BUY, *, size: int = 100, cost: int = 50, fee: int = 0, released: int = 0) -> FillFacts:
    """A fill of whole shares and dollars."""
    return FillFacts(
        trade_key="trade:1",
        follower_id=FAY,
        token_id=TOKEN,
        side=side,
        size_micros=Micros(size * ONE),
        cost_micros=Micros(cost * ONE),
        fee_micros=Micros(fee * ONE),
        released_cost_micros=Micros(released * ONE),
    )


def dollars(entries: Sequence[Entry]) -> dict[str, int]:
    """Fay's accounts after these entries, in whole dollars."""
    sums = net(entries)
    return {name: sums[key] // ONE for name, key in MINE.items() if sums.get(key)}


def test_a_deposit_comes_from_outside() -> None:
    entry = deposit(FAY, 100 * ONE, "first-deposit:7")
    assert (entry.kind, entry.key) == ("DEPOSIT", "first-deposit:7")
    assert net([entry]) == {(account(FAY, "cash"), CASH): 100 * ONE, ("outside:cash", CASH): -100 * ONE}


@pytest.mark.parametrize(
    ("fill", "expected", "kinds"),
    [
        (facts(), {"cash": -50, "cost": 50}, ["BUY", "SHARES"]),
        (facts(fee=2), {"cash": -52, "cost": 50, "fees": 2}, ["BUY", "SHARES", "FEE"]),
        (
            facts(Side.SELL, cost=60, released=50),
            {"cash": 60, "cost": -50, "profit": -10},
            ["SELL", "SHARES", "PROFIT"],
        ),
        (facts(Side.SELL, cost=40, released=50), {"cash": 40, "cost": -50, "profit": 10}, ["SELL", "SHARES", "LOSS"]),
        (facts(Side.SELL, cost=50, released=50), {"cash": 50, "cost": -50}, ["SELL", "SHARES"]),
        (facts(Side.SELL, cost=60, released=0), {"cash": 60, "profit": -60}, ["SHARES", "PROFIT"]),
        (facts(Side.SELL, cost=0, released=50), {"cost": -50, "profit": 50}, ["SHARES", "LOSS"]),
        (
            facts(Side.SELL, cost=60, released=50, fee=3),
            {"cash": 57, "cost": -50, "profit": -10, "fees": 3},
            ["SELL", "SHARES", "PROFIT", "FEE"],
        ),
    ],
)
def test_a_fill_moves_cash_cost_profit_and_fees(fill: FillFacts, expected: dict[str, int], kinds: list[str]) -> None:
    entries = fill_entries(fill)
    assert dollars(entries) == expected
    assert [entry.kind for entry in entries] == kinds


@pytest.mark.parametrize(("side", "shares"), [(Side.BUY, 100), (Side.SELL, -100)])
def test_a_fill_moves_shares_of_its_token(side: Side, shares: int) -> None:
    assert net(fill_entries(facts(side)))[SHARES] == shares * ONE


def test_entries_of_a_trade_are_named_by_it_and_never_twice() -> None:
    keys = [entry.key for entry in fill_entries(facts(Side.SELL, cost=60, released=50, fee=3))]
    assert keys == ["trade:1:SELL", "trade:1:SHARES", "trade:1:PROFIT", "trade:1:FEE"]


def book(story: Sequence[Trade]) -> tuple[list[Entry], Holding, int, int]:
    """Deposit, then every trade that is possible: (entries, holding, realised profit, cash as an account book)."""
    entries, holding, profit, cash = [deposit(FAY, 10**15, "first")], Holding(), 0, 10**15
    for number, trade in enumerate(story):
        buy = trade.side is Side.BUY
        size = Micros(trade.size_micros if buy else min(trade.size_micros, holding.size_micros))
        if not size:
            continue
        cost = (cost_up if buy else cost_down)(size, trade.price_micros)
        fill = Fill(
            size_micros=size,
            price_micros=Micros(trade.price_micros),
            cost_micros=cost,
            fee_micros=Micros(trade.fee_micros),
        )
        change = after_fill(holding, trade.side, fill=fill)
        holding, profit = change.holding, profit + change.realised_profit_micros
        cash += (-cost if buy else cost) - trade.fee_micros
        entries += fill_entries(
            FillFacts(
                trade_key=f"trade:{number}",
                follower_id=FAY,
                token_id=TOKEN,
                side=trade.side,
                size_micros=size,
                cost_micros=cost,
                fee_micros=fill.fee_micros,
                released_cost_micros=change.released_cost_micros,
            )
        )
    return entries, holding, profit, cash


@given(trades)
def test_every_asset_sums_to_zero_and_every_amount_is_positive(story: list[Trade]) -> None:
    entries, *_rest = book(story)
    totals: dict[str, int] = {}
    for (_account, asset), amount in net(entries).items():
        totals[asset] = totals.get(asset, 0) + amount
    assert set(totals.values()) <= {0}
    assert all(entry.amount_micros > 0 and entry.debit != entry.credit for entry in entries)
    assert len({entry.key for entry in entries}) == len(entries)


@given(trades)
def test_accounts_hold_what_was_paid_earned_and_is_still_held(story: list[Trade]) -> None:
    entries, holding, profit, cash = book(story)
    sums = net(entries)
    fees = sum(entry.amount_micros for entry in entries if entry.kind == "FEE")
    assert sums[MINE["cash"]] == cash
    assert sums.get(SHARES, 0) == holding.size_micros
    assert sums.get(MINE["cost"], 0) == holding.cost_micros
    assert -sums.get(MINE["profit"], 0) == profit
    assert sums.get(MINE["fees"], 0) == fees


@given(trades)
def test_once_all_is_sold_cash_has_grown_by_profit_less_fees(story: list[Trade]) -> None:
    entries, holding, profit, cash = book([*story, Trade(Side.SELL, 10**14, 500_000, 0)])
    sums = net(entries)
    assert (holding.size_micros, holding.cost_micros) == (0, 0)
    assert cash - 10**15 == profit - sums.get(MINE["fees"], 0)
