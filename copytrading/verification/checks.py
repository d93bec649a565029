"""The checks by name, what each lays down beforehand, and how one is run from an empty database to its results."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.conf import settings

from copytrading.models import CopyTrade
from copytrading.states import Status
from copytrading.verification.bench import Bench, clear_stores
from copytrading.verification.claims import claim_steps
from copytrading.verification.configs import config_steps
from copytrading.verification.database import address, private_database, undisturbed
from copytrading.verification.dual import dual_steps
from copytrading.verification.events import ALLOWED_WALLETS, event_steps
from copytrading.verification.market_events import market_event_steps
from copytrading.verification.prewrite import prewrite_steps
from copytrading.verification.prices import price_fallback_steps, quote_cache_steps
from copytrading.verification.processes import Words, environment_of_its_own
from copytrading.verification.real_orders import (
    execution_path_steps,
    parallel_order_steps,
    preflight_cache_steps,
    session_key_steps,
)
from copytrading.verification.recovery import recovery_steps
from copytrading.verification.rescued import rescued_steps
from copytrading.verification.sharing import FAN_OUT, POOL, ownership_steps, pool_steps
from copytrading.verification.steps import Result, Step, run_steps
from copytrading.verification.stores import EXITS_BPS, QUEUE_MAX, backpressure_steps, dedup_steps
from copytrading.verification.unknown import unknown_steps
from guardrails.stores.base import StoreDown
from ledger.sql import database_now

log = structlog.get_logger(__name__)

COUNT_MAX = 1_000
"""Above everything that a step makes at once, so that a batch is one batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What is proved, and the settings that must hold meanwhile."""

    steps: Callable[[Bench], Iterable[Step]]
    settings: Mapping[str, Any] = field(default_factory=dict)


SETTINGS: Mapping[str, Any] = {
    "COPY_TRADING_BATCH_COPIES": COUNT_MAX,
    "SUPERVISOR_WORKER_POOL_SIZE": COUNT_MAX,
    "SUPERVISOR_QUEUE_MAX_SIZE": COUNT_MAX,
    "SUPERVISOR_QUEUE_EXITS_BPS": 0,
    "SUPERVISOR_FAN_OUT_COUNT": COUNT_MAX,
    "COPY_TRADING_EXPIRE_AFTER_S": 600,
    "COPY_TRADING_DRY_RUN": False,
    "COPY_TRADING_FOLLOWER_ALLOWLIST": [],
    "COPY_TRADING_MAX_PER_TRADE_USD": 0,
    **{
        f"COPY_TRADING_{scope}_{period}_{measure}": 0
        for scope in ("GLOBAL", "MARKET")
        for period in ("HOURLY", "DAILY")
        for measure in ("USD", "COUNT")
    },
    **{f"PAPER_{trouble}_BPS": 0 for trouble in ("REJECT", "LOST_ANSWER", "LOST_REQUEST")},
}
"""The installation's own bounds would change what the steps count."""


def environment(values: Mapping[str, Words]) -> dict[str, str]:
    """The variables of a process on this check's database and key prefix: these settings, and else the defaults."""
    private = {"DATABASE_URL": address(), "REDIS_URL": settings.REDIS_URL, "REDIS_PREFIX": settings.REDIS_PREFIX}
    return environment_of_its_own({**private, **values}, declared=[each.name for each in settings.SETTINGS])


@contextmanager
def in_force(values: Mapping[str, Any]) -> Iterator[None]:
    """Have these settings hold in this process meanwhile."""
    before = {name: getattr(settings, name) for name in values}
    try:
        for name, value in values.items():
            setattr(settings, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)


CHECKS: Mapping[str, Check] = {
    "config-refresh": Check(steps=config_steps, settings=SETTINGS),
    "prewrite": Check(steps=prewrite_steps, settings=SETTINGS),
    "guardrail-events": Check(
        steps=event_steps, settings={**SETTINGS, "COPY_TRADING_FOLLOWER_ALLOWLIST": ALLOWED_WALLETS}
    ),
    "dedup-shared": Check(steps=dedup_steps, settings=SETTINGS),
    "queue-backpressure": Check(
        steps=backpressure_steps,
        settings={**SETTINGS, "SUPERVISOR_QUEUE_MAX_SIZE": QUEUE_MAX, "SUPERVISOR_QUEUE_EXITS_BPS": EXITS_BPS},
    ),
    "worker-pool": Check(
        steps=pool_steps,
        settings={**SETTINGS, "SUPERVISOR_WORKER_POOL_SIZE": POOL, "SUPERVISOR_FAN_OUT_COUNT": FAN_OUT},
    ),
    "shard-ownership": Check(steps=ownership_steps, settings=SETTINGS),
    "market-events": Check(steps=lambda _bench: market_event_steps(in_force), settings=SETTINGS),
    "quote-cache": Check(steps=lambda _bench: quote_cache_steps(in_force), settings=SETTINGS),
    "price-fallback": Check(steps=lambda _bench: price_fallback_steps(in_force), settings=SETTINGS),
    "lock-claims": Check(steps=lambda bench: (*rescued_steps(in_force), *claim_steps(bench)), settings=SETTINGS),
    "unknown-outcomes": Check(steps=lambda _bench: unknown_steps(in_force), settings=SETTINGS),
    "execution-paths": Check(steps=lambda _bench: execution_path_steps(in_force), settings=SETTINGS),
    "parallel-orders": Check(steps=lambda _bench: parallel_order_steps(in_force), settings=SETTINGS),
    "session-keys": Check(steps=lambda _bench: session_key_steps(in_force), settings=SETTINGS),
    "preflight-cache": Check(steps=lambda _bench: preflight_cache_steps(in_force), settings=SETTINGS),
    "dual-supervisor": Check(steps=lambda _bench: dual_steps(environment)),
    "cursor-recovery": Check(steps=lambda _bench: recovery_steps(environment)),
}


def run_check(check: Check, token: str, *, tell: Callable[[Result], None]) -> tuple[Result, ...]:
    """Run a check in a database of its own, and delete that and what the stores hold.

    The check's settings, and a key prefix of its own, must be in force already.
    """
    with private_database(token):
        try:
            return run_steps(check.steps(Bench()), tell=tell)
        finally:
            with undisturbed():
                _clear_stores()


def _clear_stores() -> None:
    try:
        asyncio.run(clear_stores())
    except StoreDown as down:
        # The steps have failed on it already and their results must still be told.
        log.error("What this run has put into the stores could not be deleted.", action="verify", why=str(down))


def stale_orders() -> int:
    """Orders without an answer that are past their expiry, by the database's clock; rescue should have ended them."""
    open_states = (Status.PENDING, Status.UNKNOWN)
    return CopyTrade.objects.filter(status__in=open_states, expires_at__lt=database_now()).count()
