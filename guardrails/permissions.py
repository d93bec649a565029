"""Which permission lets a person throw a switch, set a limit or overrule a breaker; the roles grant them."""

from typing import Protocol

from guardrails.models import Scope

THROW = "guardrails.change_switch"
"""Pause and rehearse anything, and resume what is not everything."""

RESUME_EVERYTHING = "guardrails.resume_everything"
"""Turn off a switch that holds everybody."""

SET_LIMITS = "guardrails.set_limits"
"""Bounds on money and numbers of leaders, followers and markets."""

OVERRULE = "guardrails.change_breaker"
"""Open or close a circuit breaker by hand."""


class Person(Protocol):
    """A user, as far as permissions ask."""

    def has_perm(self, perm: str, /) -> bool:
        """Whether the user has this permission."""
        ...


def may_throw(person: Person, *, scope: str, on: bool) -> bool:
    """Whether a person may turn a switch of this scope on or off: everybody's trade is let go on by fewer people."""
    if not person.has_perm(THROW):
        return False
    return on or scope != Scope.GLOBAL or person.has_perm(RESUME_EVERYTHING)
