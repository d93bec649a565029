"""Reads of the guardrails, returned as frozen values."""

from dataclasses import dataclass, field

from guardrails.models import Scope, Switch


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
