"""Reads of the guardrails, returned as frozen values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Q

from guardrails.circuits import BreakerScope, Circuit, Kind, State, circuit_of
from guardrails.models import Breaker, Scope, Switch
from ledger.questions import Asked, Question, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Everything that is switched on now: pauses and dry runs by scope and key."""

    global_pause: bool = False
    global_dry_run: bool = False
    paused: frozenset[tuple[str, str]] = field(default=frozenset())
    dry: frozenset[tuple[str, str]] = field(default=frozenset())

    def follower_paused(self, follower_id: int) -> bool:
        """True while this follower is paused."""
        return (Scope.FOLLOWER.value, str(follower_id)) in self.paused

    def leader_paused(self, leader_id: int) -> bool:
        """True while this leader is paused."""
        return (Scope.LEADER.value, str(leader_id)) in self.paused

    def market_paused(self, condition_id: str) -> bool:
        """True while this market is paused."""
        return (Scope.MARKET.value, condition_id) in self.paused

    def dry_run(self, follower_id: int, leader_id: int) -> bool:
        """True when this copy must not be sent."""
        return (
            self.global_dry_run
            or (Scope.FOLLOWER.value, str(follower_id)) in self.dry
            or (Scope.LEADER.value, str(leader_id)) in self.dry
        )


def switches() -> Switches:
    """The switches as the database has them now; one small query."""
    return ask_switches().answer()


def ask_switches() -> Asked[Switches]:
    """`switches`, to be answered later."""
    return _SWITCHED_ON.ask(read=_switches)


def _switches(rows: Sequence[Row]) -> Switches:
    paused = frozenset((scope, key) for kind, scope, key in rows if kind == Switch.Kind.PAUSE)
    dry = frozenset((scope, key) for kind, scope, key in rows if kind == Switch.Kind.DRY_RUN)
    everything = (Scope.GLOBAL.value, "")
    return Switches(global_pause=everything in paused, global_dry_run=everything in dry, paused=paused, dry=dry)


_SWITCHED_ON = Question(lambda: Switch.objects.filter(on=True).values_list("kind", "scope", "key"))

BreakerName = tuple[Kind, BreakerScope, str]
"""A breaker by its kind, its scope and its key: nothing, a venue's name or a follower's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRow:
    """A breaker as the database has it; `changed_by` is the person of an override, empty for itself."""

    id: int
    name: BreakerName
    circuit: Circuit
    why: str
    changed_by: str
    changed_at: datetime
    version: int


def breakers(*, since: datetime | None = None) -> tuple[BreakerRow, ...]:
    """The breakers of everybody and of venues, and those of accounts that are not closed; one small query.

    With a moment only those accounts' that changed since then, closed ones too: an engine asks so every second.
    """
    accounts = ~Q(state=Breaker.State.CLOSED) if since is None else Q(changed_at__gte=since)
    rows = Breaker.objects.filter(Q(scope__in=(BreakerScope.GLOBAL, BreakerScope.VENUE)) | accounts)
    return tuple(breaker_row(row) for row in rows.filter(scope__in=tuple(BreakerScope)).order_by("pk"))


def breaker_named(name: BreakerName) -> BreakerRow:
    """One breaker. Raises Breaker.DoesNotExist."""
    kind, scope, key = name
    return breaker_row(Breaker.objects.get(kind=kind.value, scope=scope.value, key=key))


def closed_by_hand(kind: Kind, *, since: datetime) -> tuple[BreakerRow, ...]:
    """The breakers of a kind that a person closed since a moment, and that are closed still."""
    rows = Breaker.objects.filter(kind=kind.value, state=Breaker.State.CLOSED, changed_at__gte=since)
    return tuple(breaker_row(row) for row in rows.exclude(changed_by="").order_by("pk"))


def breaker_row(row: Breaker) -> BreakerRow:
    """A row as a value."""
    return BreakerRow(
        id=row.pk,
        name=(Kind(row.kind), BreakerScope(row.scope), row.key),
        circuit=circuit_of(State(row.state), row.counts, opened_at=row.opened_at, probe_at=row.probe_at),
        why=row.why,
        changed_by=row.changed_by,
        changed_at=row.changed_at,
        version=row.version,
    )
