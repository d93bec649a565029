"""What a leader's action does to the known holding of a token. Pure.

A holding is either known exactly or not known at all: a partial history is never divided by (example 13).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from copytrading.signals import ActionKind
from ledger.units import Micros, Side


@dataclass(frozen=True, slots=True)
class Holding:
    """Shares in micros; meaningless unless `known`."""

    size_micros: Micros
    known: bool


UNKNOWN = Holding(Micros(0), known=False)

UNSURE_BEFORE, UNSURE_AFTER = timedelta(seconds=150), timedelta(seconds=5)
"""Around a reading of positions nobody can say whether an action is in it: what happened was seen to show up to 96 s
late (data-profile.md section 6), and a reading takes some seconds itself."""

MOVED_BY_SIDE = (ActionKind.TRADE, ActionKind.TRANSFER)


def after_action(holding: Holding, kind: ActionKind, *, side: Side | None, size_micros: int) -> Holding:
    """The holding of one token after an action moved `size_micros` of it; taking more than is known unlearns it.

    A REDEEM without a token empties both outcomes; the caller gives it the whole holding as the size.
    """
    if not holding.known or kind is ActionKind.CONVERSION:
        return UNKNOWN
    gains = kind is ActionKind.SPLIT or (kind in MOVED_BY_SIDE and side is Side.BUY)
    left = holding.size_micros + (size_micros if gains else -size_micros)
    return Holding(Micros(left), known=True) if left >= 0 else UNKNOWN


def is_in_reading(read_at: datetime | None, traded_at: datetime) -> bool | None:
    """Whether what was read of a holding at `read_at` holds an action already; None where it is too near to say.

    So an action that is heard late, or again after a pause, is never counted on top of a reading that shows it.
    """
    if read_at is None or traded_at > read_at + UNSURE_AFTER:
        return False
    return True if traded_at < read_at - UNSURE_BEFORE else None
