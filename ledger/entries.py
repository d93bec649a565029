"""Turns fills and deposits into transfers between named accounts. Pure.

A transfer has one debit and one credit account and a positive amount, so every asset sums to zero by its
shape. A follower's accounts: cash, cost (what open positions cost), profit (credits minus debits are the
realised profit before fees), fees, shares.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

from ledger.units import Micros, Side

CASH = "pUSD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One transfer of `amount_micros` of an asset from the credit to the debit account."""

    key: str
    kind: str
    debit: str
    credit: str
    asset: str
    amount_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FillFacts:
    """A confirmed fill of one copy: exact money moved without the fee, and the book cost a sale releases."""

    trade_key: str
    follower_id: int
    token_id: int
    side: Side
    size_micros: Micros
    cost_micros: Micros
    fee_micros: Micros
    released_cost_micros: Micros


def account(follower_id: int, name: str) -> str:
    """The name of a follower's account."""
    return f"follower:{follower_id}:{name}"


def deposit(follower_id: int, amount_micros: int, key: str) -> Entry:
    """Money that arrives from outside."""
    return Entry(
        key=key,
        kind="DEPOSIT",
        debit=account(follower_id, "cash"),
        credit="outside:cash",
        asset=CASH,
        amount_micros=amount_micros,
    )


def withdrawal(follower_id: int, amount_micros: int, key: str) -> Entry:
    """Money that left to the outside."""
    return Entry(
        key=key,
        kind="WITHDRAWAL",
        debit="outside:cash",
        credit=account(follower_id, "cash"),
        asset=CASH,
        amount_micros=amount_micros,
    )


def found_shares(follower_id: int, token_id: int, *, amount_micros: int, key: str) -> Entry:
    """Shares that turned out to be there without a fill of ours."""
    return Entry(
        key=key,
        kind="FOUND",
        debit=account(follower_id, "shares"),
        credit="outside:shares",
        asset=str(token_id),
        amount_micros=amount_micros,
    )


def fill_entries(fill: FillFacts) -> tuple[Entry, ...]:
    """All transfers of one fill; amounts of zero write nothing."""
    legs = _buy_legs(fill) if fill.side is Side.BUY else _sell_legs(fill)
    cash, fees = account(fill.follower_id, "cash"), account(fill.follower_id, "fees")
    legs.append(("FEE", fees, cash, CASH, fill.fee_micros))
    return tuple(
        Entry(key=f"{fill.trade_key}:{kind}", kind=kind, debit=debit, credit=credit, asset=asset, amount_micros=amount)
        for kind, debit, credit, asset, amount in legs
        if amount
    )


def commission(referrer_id: int, amount_micros: int, *, key: str) -> Entry:
    """What the operator owes a referrer from now on; the follower whose profit it is pays nothing of it."""
    return Entry(
        key=key,
        kind="COMMISSION",
        debit="operator:commissions",
        credit=account(referrer_id, "commissions"),
        asset=CASH,
        amount_micros=amount_micros,
    )


def revalued(follower_id: int, gain_micros: int, *, key: str) -> Entry:
    """Shares turn out to have cost more (a gain: less was lost on those sold) or less than booked; never zero."""
    cost, profit = account(follower_id, "cost"), account(follower_id, "profit")
    gain = gain_micros > 0
    return Entry(
        key=key,
        kind="PROFIT" if gain else "LOSS",
        debit=cost if gain else profit,
        credit=profit if gain else cost,
        asset=CASH,
        amount_micros=abs(gain_micros),
    )


def opposite(entry: Entry) -> Entry:
    """The transfer that undoes this one; its key follows from it, so that it can be written only once."""
    return replace(entry, key=entry.key + _ANSWER, kind="REVERSAL", debit=entry.credit, credit=entry.debit)


def unanswered(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Of all entries of a trade those that still stand: neither an opposite nor undone by one."""
    listed = tuple(entries)
    keys = {entry.key for entry in listed}
    return tuple(e for e in listed if not e.key.endswith(_ANSWER) and e.key + _ANSWER not in keys)


def bookings(entries: Iterable[Entry]) -> int:
    """How often a fill of this trade was booked: each booking moves shares exactly once."""
    return sum(entry.kind == "SHARES" for entry in entries)


def net(entries: Iterable[Entry]) -> dict[tuple[str, str], int]:
    """Balance of each (account, asset): debits minus credits. Sums to zero for every asset."""
    sums: defaultdict[tuple[str, str], int] = defaultdict(int)
    for entry in entries:
        sums[entry.debit, entry.asset] += entry.amount_micros
        sums[entry.credit, entry.asset] -= entry.amount_micros
    return dict(sums)


_ANSWER = ":REVERSAL"

_Leg = tuple[str, str, str, str, int]


def _buy_legs(fill: FillFacts) -> list[_Leg]:
    mine = partial(account, fill.follower_id)
    return [
        ("BUY", mine("cost"), mine("cash"), CASH, fill.cost_micros),
        ("SHARES", mine("shares"), "venue:shares", str(fill.token_id), fill.size_micros),
    ]


def _sell_legs(fill: FillFacts) -> list[_Leg]:
    mine = partial(account, fill.follower_id)
    proceeds, released = fill.cost_micros, fill.released_cost_micros
    legs: list[_Leg] = [
        ("SELL", mine("cash"), mine("cost"), CASH, min(proceeds, released)),
        ("SHARES", "venue:shares", mine("shares"), str(fill.token_id), fill.size_micros),
    ]
    if proceeds > released:
        legs.append(("PROFIT", mine("cash"), mine("profit"), CASH, proceeds - released))
    else:
        legs.append(("LOSS", mine("profit"), mine("cost"), CASH, released - proceeds))
    return legs
