"""What happened in the sandbox and what the engine has recorded of it, in the same words, so that they can be equal."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from copytrading.models import Leader, LeaderPosition, Signal, SignalGroup, SignalSourceTotal
from execution.sandbox.truth import Truth


class Trade(NamedTuple):
    """A leader's trade: all fills of a transaction in one token on one side. Of a redemption the side is empty."""

    wallet: str
    tx_hash: str
    condition_id: str
    token_id: int
    side: str


Trades = dict[Trade, int]
"""Shares in micros."""

TRADE, REDEEM = "TRADE", "REDEEM"


def trades_of(truth: Truth, wallets: Collection[str], *, kind: str = TRADE) -> Trades:
    """Every trade of these wallets, or whatever else they did of one kind."""
    return {
        Trade(key.wallet, key.tx_hash, key.condition_id, key.token_id or 0, key.side): total.shares_micros
        for key, total in truth.rows()
        if key.kind == kind and key.wallet in wallets
    }


def recorded(*, kind: str = TRADE) -> Trades:
    """Every trade, or action of another kind, that was acted on, of whomever."""
    columns = ("leader__wallet", "tx_hash", "condition_id", "token_id", "side")
    rows = SignalGroup.objects.filter(kind=kind).values_list(*columns, "acted_size_micros")
    return {Trade(*row[:-1]): row[-1] for row in rows}


def redeemed() -> Trades:
    """Every redemption that was acted on."""
    return recorded(kind=REDEEM)


def withdrawn() -> set[str]:
    """The transactions that are marked as not in the chain."""
    return set(SignalGroup.objects.filter(withdrawn_at__isnull=False).values_list("tx_hash", flat=True))


def shown_by(source: str, *, kind: str = TRADE) -> Trades:
    """The total that one source has shown of each trade, or action of another kind, where it is not nothing."""
    columns = ("group__leader__wallet", "group__tx_hash", "group__condition_id", "group__token_id", "group__side")
    rows = SignalSourceTotal.objects.filter(group__kind=kind, source=source, size_micros__gt=0)
    return {Trade(*row[:-1]): row[-1] for row in rows.values_list(*columns, "size_micros")}


def torn_groups() -> list[str]:
    """Trades whose signals are not parts 1, 2, 3, ... that add up to what was acted on, each with the total so far."""
    return [str(group) for group in SignalGroup.objects.filter(kind=TRADE) if not _is_whole(group)]


def wrong_holdings(truth: Truth, wallets: Collection[str]) -> list[tuple[str, int, int, int]]:
    """(wallet, token, believed, true) of each holding that the engine claims to know, and does not.

    Of a leader whose holdings are complete a token without a row is believed to be nothing.
    """
    wrong = []
    for leader in Leader.objects.filter(wallet__in=wallets):
        held = truth.holdings[leader.wallet]
        rows = {row.token_id: row for row in LeaderPosition.objects.filter(leader=leader)}
        believed = {token: row.size_micros for token, row in rows.items() if row.known}
        if leader.holdings_complete:
            believed |= dict.fromkeys(held.keys() - rows.keys(), 0)
        wrong += [(leader.wallet, t, size, held.get(t, 0)) for t, size in believed.items() if size != held.get(t, 0)]
    return wrong


def unknown_holdings(wallets: Collection[str]) -> list[tuple[str, int | None]]:
    """(wallet, token) of each holding that the engine does not know; None: whatever has no row."""
    rows = LeaderPosition.objects.filter(leader__wallet__in=wallets, known=False)
    found: list[tuple[str, int | None]] = list(rows.values_list("leader__wallet", "token_id"))
    incomplete = Leader.objects.filter(wallet__in=wallets, holdings_complete=False)
    return found + [(wallet, None) for wallet in incomplete.values_list("wallet", flat=True)]


def moved(truth: Truth, wallets: Collection[str]) -> Mapping[str, set[str]]:
    """By wallet the kinds of what it did beside trading."""
    found: dict[str, set[str]] = {wallet: set() for wallet in wallets}
    for key, _total in truth.rows():
        if key.wallet in found and key.kind != TRADE:
            found[key.wallet].add(key.kind)
    return found


def differences(expected: Trades, found: Trades) -> list[str]:
    """What is missing, too much or of another size, one sentence each."""
    return list(_differences(expected, found))


def _differences(expected: Trades, found: Trades) -> Iterator[str]:
    for key in expected.keys() | found.keys():
        if expected.get(key) != found.get(key):
            yield f"{key.wallet[:8]} {key.tx_hash[:10]} {key.side}: {found.get(key)} instead of {expected.get(key)}"


def _is_whole(group: SignalGroup) -> bool:
    signals = list(Signal.objects.filter(group=group).order_by("part"))
    totals = [sum(each.size_micros for each in signals[: n + 1]) for n in range(len(signals))]
    return (
        [each.part for each in signals] == list(range(1, group.parts + 1))
        and [each.total_size_micros for each in signals] == totals
        and totals[-1:] == [group.acted_size_micros]
    )
