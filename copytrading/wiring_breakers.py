"""The circuit breakers that the settings ask for."""

from collections.abc import Iterator
from typing import TypedDict

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from guardrails.circuits import BreakerScope, BreakerTerms, Kind
from ledger.units import ONE

ANSWERED_WITHIN_S = 600
"""A probe whose result is a fill may take so long: venue trades are confirmed on chain, and orders expire by then."""

_RATES = ((Kind.FAILURE_RATE, "REJECTED_BPS"), (Kind.UNKNOWN_RATE, "UNKNOWN_BPS"), (Kind.PRICE_DEVIATION, "PRICE_BPS"))
_PREFIXES = {
    BreakerScope.GLOBAL: "BREAKER_",
    BreakerScope.VENUE: "BREAKER_VENUE_",
    BreakerScope.FOLLOWER: "BREAKER_ACCOUNT_",
}


def breaker_terms() -> tuple[BreakerTerms, ...]:
    """The circuit breakers that the settings ask for; 0 is no such breaker. Raises ImproperlyConfigured."""
    try:
        return (*_rates(), *_losses())
    except ValueError as error:
        raise ImproperlyConfigured(f"The settings BREAKER_* do not fit together: {error}") from None


class _ComesBack(TypedDict):
    cooldown_s: int
    cooldown_max_s: int
    probes: int


def _rates() -> Iterator[BreakerTerms]:
    apart_bps = settings.BREAKER_PRICE_APART_BPS
    for scope, prefix in _PREFIXES.items():
        for kind, name in _RATES:
            of_prices = kind is Kind.PRICE_DEVIATION
            open_bps = getattr(settings, prefix + name)
            if open_bps and (apart_bps or not of_prices):
                yield BreakerTerms(
                    kind=kind,
                    scope=scope,
                    open_bps=open_bps,
                    least=getattr(settings, f"{prefix}LEAST_COUNT"),
                    window=getattr(settings, f"{prefix}WINDOW_COUNT"),
                    apart_bps=apart_bps if of_prices else 0,
                    answer_s=ANSWERED_WITHIN_S if of_prices else 0,
                    **_comes_back(scope),
                )


def _losses() -> Iterator[BreakerTerms]:
    for scope, prefix in _PREFIXES.items():
        in_a_row, dollars = getattr(settings, f"{prefix}LOSSES_COUNT"), getattr(settings, f"{prefix}DRAWDOWN_USD")
        if in_a_row:
            yield BreakerTerms(kind=Kind.CONSECUTIVE_LOSSES, scope=scope, least=in_a_row, **_comes_back(scope))
        if dollars:
            yield BreakerTerms(kind=Kind.DAILY_DRAWDOWN, scope=scope, loss_micros=dollars * ONE, **_comes_back(scope))


def _comes_back(scope: BreakerScope) -> _ComesBack:
    # One account sends few orders: it would wait for ever for the probes of a venue.
    probes = settings.BREAKER_ACCOUNT_PROBES_COUNT if scope is BreakerScope.FOLLOWER else settings.BREAKER_PROBES_COUNT
    return {
        "cooldown_s": settings.BREAKER_COOLDOWN_S,
        "cooldown_max_s": settings.BREAKER_COOLDOWN_MAX_S,
        "probes": probes,
    }
