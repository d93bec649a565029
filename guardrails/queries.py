"""Reads of the guardrails, returned as frozen values."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import Q

from guardrails.breakers import Circuit, Kind, State, circuit_of
from guardrails.models import Breaker, Scope, Switch


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
    rows = list(Switch.objects.filter(on=True).values_list("kind", "scope", "key"))
    paused = frozenset((scope, key) for kind, scope, key in rows if kind == Switch.Kind.PAUSE)
    dry = frozenset((scope, key) for kind, scope, key in rows if kind == Switch.Kind.DRY_RUN)
    everything = (Scope.GLOBAL.value, "")
    return Switches(global_pause=everything in paused, global_dry_run=everything in dry, paused=paused, dry=dry)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRow:
    """A breaker as the database has it; `changed_by` is the person of an override, empty for itself."""

    id: int
    kind: Kind
    scope: str
    key: str
    circuit: Circuit
    why: str
    changed_by: str
    version: int


def breakers(followers: Iterable[str] = ()) -> tuple[BreakerRow, ...]:
    """The breakers of the venue, those that are not closed, and those of these followers; one small query."""
    wanted = ~Q(state=Breaker.State.CLOSED) | Q(scope=Scope.GLOBAL) | Q(scope=Scope.FOLLOWER, key__in=list(followers))
    return tuple(breaker_row(row) for row in Breaker.objects.filter(wanted).order_by("pk"))


def breaker_row(row: Breaker) -> BreakerRow:
    """A row as a value."""
    return BreakerRow(
        id=row.pk,
        kind=Kind(row.kind),
        scope=row.scope,
        key=row.key,
        circuit=circuit_of(State(row.state), row.counts, opened_at=row.opened_at, probe_at=row.probe_at),
        why=row.why,
        changed_by=row.changed_by,
        version=row.version,
    )
