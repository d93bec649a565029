"""What an engine heard and copied, counted from its rows, beside what the sandbox knows to have happened."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.db.models import Count, Max, Sum

from copytrading.models import CopyConfig, CopyTrade, Signal, SignalGroup
from copytrading.states import OPEN
from copytrading.verification.steps import Wrong
from execution.sandbox.sandbox import Sandbox

TRADE = "TRADE"
SHOWN_MAX = 3

TradeKey = tuple[str, str, str, int, str]
"""Wallet, transaction, condition, token and side: one action of a leader."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an engine is; while it works, something of this changes."""

    groups: int
    acted_micros: int
    copies: int
    undecided: int
    open_orders: int

    @property
    def settled(self) -> bool:
        """Nothing is left to decide, and no order without an answer."""
        return not self.undecided and not self.open_orders


def truth_of(box: Sandbox) -> dict[TradeKey, int]:
    """The shares, in micros, of every trade of the sandbox's leaders."""
    wallets = {leader.wallet for leader in box.leaders}
    return {
        (key.wallet, key.tx_hash, key.condition_id, key.token_id, key.side): total.shares_micros
        for key, total in box.truth.rows()
        if key.kind == TRADE and key.wallet in wallets and key.token_id is not None
    }


def acted_totals() -> dict[TradeKey, int]:
    """The shares of every trade that were acted on."""
    columns = ("leader__wallet", "tx_hash", "condition_id", "token_id", "side", "acted_size_micros")
    rows = SignalGroup.objects.filter(kind=TRADE).values_list(*columns)
    return {
        (wallet, tx, condition, int(token or 0), side): micros for wallet, tx, condition, token, side, micros in rows
    }


def signal_totals() -> dict[TradeKey, int]:
    """The shares of every trade as the sum of its signals."""
    columns = ("group__leader__wallet", "group__tx_hash", "condition_id", "token_id", "side")
    rows = Signal.objects.values_list(*columns).annotate(micros=Sum("size_micros")).order_by()
    return {(wallet, tx, condition, int(token), side): micros for wallet, tx, condition, token, side, micros in rows}


def progress() -> Progress:
    """Where the engine is now."""
    groups = SignalGroup.objects.filter(kind=TRADE).aggregate(number=Count("pk"), acted=Sum("acted_size_micros"))
    return Progress(
        groups=groups["number"],
        acted_micros=int(groups["acted"] or 0),
        copies=CopyTrade.objects.count(),
        undecided=Signal.objects.filter(done_at__isnull=True).count(),
        open_orders=CopyTrade.objects.filter(status__in=OPEN).count(),
    )


def difference(found: Mapping[TradeKey, int], wanted: Mapping[TradeKey, int]) -> str:
    """What is missing, what is too much and what has another size, in a sentence; empty when both are equal."""
    missing, more = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    other = [key for key in wanted.keys() & found.keys() if found[key] != wanted[key]]
    if not (missing or more or other):
        return ""
    shown = sorted([*missing, *more, *other])[:SHOWN_MAX]
    named = ", ".join(f"{found.get(key, 0)} of {wanted.get(key, 0)} micros in {key[1]}" for key in shown)
    return (
        f"Of {len(wanted)} trades {len(missing)} were not heard, {len(other)} with another size, and {len(more)} never "
        f"happened: {named}."
    )


def require_once_each(followers: Collection[int]) -> str:
    """Raise Wrong unless every follower has exactly one copy of every signal of a leader that it follows.

    The sentence says how many. An order, where there is one, belongs to one copy.
    """
    following = dict(CopyConfig.objects.values_list("leader_id").annotate(number=Count("pk")).order_by())
    leaders = dict(Signal.objects.values_list("pk", "leader_id"))
    copies = dict(CopyTrade.objects.values_list("signal_id").annotate(number=Count("pk")).order_by())
    uneven = [pk for pk, leader in leaders.items() if copies.get(pk, 0) != following.get(leader, 0)]
    twice = CopyTrade.objects.values("config_id", "signal__group_id").annotate(
        number=Count("pk"), size=Sum("leader_size_micros"), acted=Max("signal__group__acted_size_micros")
    )
    over = [row for row in twice if row["size"] != row["acted"]]
    if uneven or over or not leaders:
        raise Wrong(
            f"{len(uneven)} of {len(leaders)} signals do not have one copy for each follower; {len(over)} followers "
            "were told of another size of a trade than was acted on."
        )
    each = Counter(CopyTrade.objects.values_list("follower_id", flat=True))
    told = ", ".join(str(each[pk]) for pk in followers)
    return f"{len(leaders)} signals, copies of the followers: {told}"
