"""What followers have open on the venue, or waiting for it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from copytrading.models import CopyTrade
from copytrading.states import ON_THE_VENUE, Status
from guardrails.intents import Reason
from ledger.questions import Asked, Question, Row
from ledger.units import Side

_UNSETTLED = (Status.READY, Status.PENDING, Status.UNKNOWN, Status.LIVE, Status.MATCHED)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """Copies by their ids.

    `buys` by (follower, token): purchases that are not settled, `sizes` their shares in micros, by copy, those that are
    booked already included. `queued` by follower: copies that wait for the limit on orders, oldest first.
    """

    buys: Mapping[tuple[int, int], frozenset[int]] = field(default_factory=dict)
    sizes: Mapping[int, int] = field(default_factory=dict)
    queued: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    def without(self, trade_ids: Collection[int]) -> "UnderWay":
        """The same, these copies left out."""
        if not trade_ids:
            return self
        buys = {key: left for key, found in self.buys.items() if (left := found - frozenset(trade_ids))}
        waiting = ((key, tuple(pk for pk in found if pk not in trade_ids)) for key, found in self.queued.items())
        return UnderWay(buys=buys, sizes=self.sizes, queued={key: found for key, found in waiting if found})

    def buys_before(self, key: tuple[int, int], trade_id: int) -> frozenset[int]:
        """A follower's purchases of a token that were decided before this copy: no sale waits for a later one."""
        return frozenset(pk for pk in self.buys.get(key, ()) if pk < trade_id)

    def bought_micros(self, key: tuple[int, int], *, before: int) -> int:
        """So many shares of a token its follower gets at most by purchases before this copy."""
        return sum(self.sizes.get(pk, 0) for pk in self.buys_before(key, before))


NOTHING_UNDER_WAY = UnderWay()


def under_way(follower_ids: Collection[int]) -> UnderWay:
    """What these followers have open or waiting, one query; no id, no query."""
    return ask_under_way(follower_ids).answer()


def ask_under_way(follower_ids: Collection[int]) -> Asked[UnderWay]:
    """`under_way`, to be answered later."""
    return _OPEN.ask(set(follower_ids), read=_under_way)


def _under_way(rows: Sequence[Row]) -> UnderWay:
    buys: dict[tuple[int, int], set[int]] = {}
    queued: dict[int, list[int]] = {}
    sizes: dict[int, int] = {}
    for pk, follower, token, side, status, reasons, size in rows:
        if side == Side.BUY.value:
            buys.setdefault((follower, token), set()).add(pk)
            sizes[pk] = size
        if status == Status.READY and _waits_for_the_limit(reasons):
            queued.setdefault(follower, []).append(pk)
    return UnderWay(
        buys={key: frozenset(found) for key, found in buys.items()},
        sizes=sizes,
        queued={key: tuple(found) for key, found in queued.items()},
    )


_OPEN = Question(
    lambda followers: (
        CopyTrade.objects.filter(
            follower_id__among=followers, status__in=[each.value for each in _UNSETTLED], mode=ON_THE_VENUE
        )
        .order_by("pk")
        .values_list("pk", "follower_id", "token_id", "side", "status", "reasons", "size_micros")
    )
)


def _waits_for_the_limit(reasons: Sequence[Mapping[str, object]]) -> bool:
    return any(each.get("reason") == Reason.RATE_LIMITED.value for each in reasons)
