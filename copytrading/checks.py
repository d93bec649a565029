"""What `manage.py check` says about the settings, each trouble as a sentence that names the setting.

Plain checks run before every command; those of `check --deploy` are for an installation that others can reach.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004  (Django's name)

from ledger.units import BPS, MAX_MICROS, ONE

PREFIXES = ("COPY_TRADING_", "PAPER_")

SECONDS_MAX = 86_400
"""A day: no lease, age or expiry of a copy trade is longer."""

HIGHEST_BY_SUFFIX: Mapping[str, int] = {
    "_MS": SECONDS_MAX * 1_000,
    "_S": SECONDS_MAX,
    "_BPS": BPS,
    "_USD": MAX_MICROS // ONE,
    "_SHARES": MAX_MICROS // ONE,
    "_COUNT": 10**9,
    "_THREADS": 64,  # one Postgres connection each, of the 100 it has by default
}
HIGHEST = 1_000_000
"""Of any other number: a queue, batch or window beyond it does not fit in memory."""

AT_LEAST_ONE = frozenset(
    {
        "COPY_TRADING_QUEUE_MAX",
        "COPY_TRADING_BATCH_COPIES",
        "COPY_TRADING_IN_FLIGHT_MAX",
        "COPY_TRADING_STALE_AFTER_S",
        "COPY_TRADING_EXPIRE_AFTER_S",
        "COPY_TRADING_METRICS_INTERVAL_MS",
        "COPY_TRADING_LEASE_TTL_S",
        "COPY_TRADING_DB_THREADS",
    }
)
"""Settings of which zero would stop everything, or never stop."""

PAPER_MIX = ("PAPER_REJECT_BPS", "PAPER_LOST_ANSWER_BPS", "PAPER_LOST_REQUEST_BPS")

_WALLET = re.compile(r"0x[0-9a-fA-F]{40}")


def check_numbers(**_apps: Any) -> list[CheckMessage]:
    """Numbers of the engine and the paper venue that are negative or absurd."""
    names = sorted({name for name in dir(settings) if name.startswith(PREFIXES)})
    numbers = [(name, value) for name in names if type(value := getattr(settings, name)) is int]
    found = [Error(sentence, id="slipstream.E001") for name, number in numbers for sentence in _trouble(name, number)]
    mix = sum(getattr(settings, name) for name in PAPER_MIX)
    if mix > BPS:
        found.append(Error(f"{', '.join(PAPER_MIX)} add up to {mix} of {BPS} orders.", id="slipstream.E002"))
    return list(found)


def check_allowlist(**_apps: Any) -> list[CheckMessage]:
    """Entries of the allowlist that are no wallet: nobody would be meant by them."""
    return [
        Error(
            f"COPY_TRADING_FOLLOWER_ALLOWLIST: {entry[:60]!r} is no wallet; write 0x and 40 hexadecimal digits.",
            id="slipstream.E003",
        )
        for entry in settings.COPY_TRADING_FOLLOWER_ALLOWLIST
        if not _WALLET.fullmatch(entry)
    ]


def check_deployment(**_apps: Any) -> list[CheckMessage]:
    """What must not be so where others can reach the pages."""
    found: list[CheckMessage] = []
    if settings.DEBUG:
        found.append(Error("DEBUG is on: every error page shows settings and queries.", id="slipstream.E010"))
    if settings.SECRET_KEY == settings.DEV_SECRET_KEY:
        hint = "Set SECRET_KEY, or SECRET_KEY_FILE, to a long random text."
        found.append(Error("SECRET_KEY is the public one of the demo.", hint=hint, id="slipstream.E011"))
    if "*" in settings.ALLOWED_HOSTS:
        found.append(Error("ALLOWED_HOSTS allows every host; name yours.", id="slipstream.E012"))
    if not settings.SECURE_PROXY:
        hint = "Put a TLS proxy in front that sets X-Forwarded-Proto, and set SECURE_PROXY."
        found.append(Warning("SECURE_PROXY is off: cookies travel in clear.", hint=hint, id="slipstream.W013"))
    return found


def check_real_trading(**_apps: Any) -> list[CheckMessage]:
    """What real money needs: a database and a store that several processes share."""
    found: list[CheckMessage] = []
    if not settings.ENABLE_REAL_TRADING:
        return found
    if settings.DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
        found.append(
            Error("ENABLE_REAL_TRADING needs Postgres: set DATABASE_URL to postgres://….", id="slipstream.E020")
        )
    if not settings.REDIS_URL:
        found.append(Error("ENABLE_REAL_TRADING needs Redis: set REDIS_URL to redis://….", id="slipstream.E021"))
    return found


def _trouble(name: str, number: int) -> Iterator[str]:
    suffix = next((suffix for suffix in HIGHEST_BY_SUFFIX if name.endswith(suffix)), "")
    highest = HIGHEST_BY_SUFFIX.get(suffix, HIGHEST)
    if number < 0:
        yield f"{name} is {number}; it cannot be negative."
    elif number == 0 and name in AT_LEAST_ONE:
        yield f"{name} is 0; it must be at least 1."
    elif number > highest:
        yield f"{name} is {number}; more than {highest} is absurd."
