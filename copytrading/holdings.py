"""What a leader's action does to the known holding of a token. Pure.

A holding is either known exactly or not known at all: a partial history is never divided by (example 13).
"""

from dataclasses import dataclass

from copytrading.signals import ActionKind
from ledger.units import Micros, Side


@dataclass(frozen=True, slots=True)
class Holding:
    """Shares in micros; meaningless unless `known`."""

    size_micros: Micros
    known: bool


UNKNOWN = Holding(Micros(0), known=False)


def after_action(holding: Holding, kind: ActionKind, *, side: Side | None, size_micros: int) -> Holding:
    """The holding of one token after an action moved `size_micros` of it; taking more than is known unlearns it.

    A REDEEM without a token empties both outcomes; the caller gives it the whole holding as the size.
    """
    if not holding.known:
        return UNKNOWN
    gains = kind is ActionKind.SPLIT or (kind is ActionKind.TRADE and side is Side.BUY)
    left = holding.size_micros + (size_micros if gains else -size_micros)
    return Holding(Micros(left), known=True) if left >= 0 else UNKNOWN
