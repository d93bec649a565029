"""What `manage.py check` says about the settings, each trouble as a sentence that names the setting.

Plain checks run before every command; those of `check --deploy` are for an installation that others can reach.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004  (Django's name)
from django.core.exceptions import ImproperlyConfigured

from copytrading.wiring_breakers import breaker_terms
from ledger.commissions import TiersError, parse_tiers
from ledger.units import BPS, MAX_MICROS, ONE

PREFIXES = (
    *("COPY_TRADING_", "PAPER_", "SUPERVISOR_", "BREAKER_"),
    *("DATA_API_", "GAMMA_", "CLOB_", "MARKETS_", "SIGNER_", "TRADING_"),
)

POLYGON = 137
"""The one chain whose orders are signed."""

SECONDS_MAX = 86_400
"""A day: no lease, age or expiry of a copy trade is longer."""

HIGHEST_BY_SUFFIX: Mapping[str, int] = {
    "_MS": SECONDS_MAX * 1_000,
    "_S": SECONDS_MAX,
    "_BPS": BPS,
    "_PERCENT": 100,
    "_USD": MAX_MICROS // ONE,
    "_SHARES": MAX_MICROS // ONE,
    "_COUNT": 10**9,
    "_THREADS": 64,  # one Postgres connection each, of the 100 it has by default
}
HIGHEST = 1_000_000
"""Of any other number: a queue, batch or window beyond it does not fit in memory."""

AT_LEAST_ONE = frozenset(
    {
        "COPY_TRADING_BATCH_COPIES",
        "COPY_TRADING_STALE_AFTER_S",
        "COPY_TRADING_EXPIRE_AFTER_S",
        "COPY_TRADING_METRICS_INTERVAL_MS",
        "COPY_TRADING_LEASE_TTL_S",
        "COPY_TRADING_DB_THREADS",
        "SUPERVISOR_SHARD_COUNT",
        "SUPERVISOR_QUEUE_MAX_SIZE",
        "SUPERVISOR_WORKER_POOL_SIZE",
        "SUPERVISOR_FAN_OUT_COUNT",
        "SUPERVISOR_DEAD_LETTER_COUNT",
        "SUPERVISOR_SHED_FAN_OUT_COUNT",
        "SUPERVISOR_SHED_ENTRY_AGE_S",
        "SUPERVISOR_SHED_HEALTHY_COUNT",
        "SUPERVISOR_SELFTEST_MAX_S",
        "COPY_TRADING_POLL_ACTIVE_MS",
        "COPY_TRADING_POLL_QUIET_MS",
        "COPY_TRADING_POLL_FAST_ACTIVE_MS",
        "COPY_TRADING_POLL_FAST_QUIET_MS",
        "COPY_TRADING_POLL_CONCURRENCY_COUNT",
        "COPY_TRADING_POSITIONS_REREAD_S",
        "COPY_TRADING_WS_SILENT_S",
        "COPY_TRADING_WS_LAG_MAX_MS",
        "DATA_API_ACTIVITY_COUNT",
        "DATA_API_TRADES_COUNT",
        "DATA_API_POSITIONS_COUNT",
        "DATA_API_SHARE_PERCENT",
        "GAMMA_MARKETS_COUNT",
        "CLOB_MARKETS_COUNT",
        "CLOB_USER_ACTIVE_S",
        "TRADING_MONEY_TTL_MS",
        "TRADING_MONEY_WAIT_MS",
        "CLOB_BOOK_COUNT",
        "COPY_TRADING_QUOTE_WAIT_MS",
        "COPY_TRADING_BOOK_COMPARE_S",
        "COPY_TRADING_BOOKS_COUNT",
        "MARKETS_CACHED_COUNT",
        "COPY_TRADING_CHAIN_SILENT_S",
        "COPY_TRADING_CHAIN_RECONCILE_S",
        "COPY_TRADING_CHAIN_DEPTH_COUNT",
        "COPY_TRADING_CHAIN_BACKFILL_COUNT",
        "COPY_TRADING_CHAIN_BACKFILL_S",
        "COPY_TRADING_MEMPOOL_BLOCKS_COUNT",
        "SIGNER_ANSWER_MS",
        "SIGNER_MAX_ORDER_USD",
        "SIGNER_MAX_FEE_MILLIPOL",
        "BREAKER_WINDOW_COUNT",
        "BREAKER_LEAST_COUNT",
        "BREAKER_VENUE_WINDOW_COUNT",
        "BREAKER_VENUE_LEAST_COUNT",
        "BREAKER_ACCOUNT_WINDOW_COUNT",
        "BREAKER_ACCOUNT_LEAST_COUNT",
        "BREAKER_ACCOUNT_PROBES_COUNT",
        "BREAKER_COOLDOWN_S",
        "BREAKER_COOLDOWN_MAX_S",
        "BREAKER_PROBES_COUNT",
    }
)
"""Settings of which zero would stop everything, or never stop."""

DRAWDOWNS = ("BREAKER_ACCOUNT_DRAWDOWN_USD", "BREAKER_VENUE_DRAWDOWN_USD", "BREAKER_DRAWDOWN_USD")
"""Each of them bounds what a day may lose."""

PAPER_MIX = ("PAPER_REJECT_BPS", "PAPER_LOST_ANSWER_BPS", "PAPER_LOST_REQUEST_BPS")

DRILLS: Mapping[str, str] = {
    "COPY_TRADING_DRY_RUN": "nothing is traded.",
    **dict.fromkeys(PAPER_MIX, "the paper venue fails on purpose."),
    "SUPERVISOR_SELFTEST_EXIT": "a supervisor only tests itself and ends.",
}
"""What must be off where trades are wanted, and what it does while it is on."""

KEY_LENGTH_MIN, KEY_LETTERS_MIN = 50, 5
"""Django's own bounds (security.W009)."""
KEY_HINT = "Set SECRET_KEY, or SECRET_KEY_FILE, to 50 or more random characters: `openssl rand -base64 48`."

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+")
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


def check_commission_tiers(**_apps: Any) -> list[CheckMessage]:
    """Tiers of commissions that cannot be read."""
    try:
        parse_tiers(settings.COMMISSION_TIERS)
    except TiersError as error:
        return [Error(f"COMMISSION_TIERS: {error}", id="slipstream.E004")]
    return []


def check_breakers(**_apps: Any) -> list[CheckMessage]:
    """Circuit breakers whose settings do not fit together: no engine would start."""
    try:
        breaker_terms()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="slipstream.E009")]
    return []


def check_drawdown(**_apps: Any) -> list[CheckMessage]:
    """Real money of which a day may lose any part."""
    if not settings.ENABLE_REAL_TRADING or any(getattr(settings, name) for name in DRAWDOWNS):
        return []
    sentence = "ENABLE_REAL_TRADING is on, and nothing bounds what accounts lose in a day."
    hint = f"Set one of {', '.join(DRAWDOWNS)}."
    return [Warning(sentence, hint=hint, id="slipstream.W035")]


def check_deployment(**_apps: Any) -> list[CheckMessage]:
    """What must not be so where others can reach the pages."""
    key, hosts = settings.SECRET_KEY, settings.ALLOWED_HOSTS
    found = [
        _error(10, settings.DEBUG, "DEBUG is on: every error page shows settings and queries.", "Leave DEBUG out."),
        _error(11, key == settings.DEV_SECRET_KEY, "SECRET_KEY is the public one of the demo.", KEY_HINT),
        _error(11, _guessable(key), "SECRET_KEY is short or repeats itself: it can be guessed.", KEY_HINT),
        _error(12, not hosts, "ALLOWED_HOSTS is empty: no page would answer.", "Name the hosts of your pages."),
        _error(12, "*" in hosts, "ALLOWED_HOSTS allows every host; name yours.", "Name the hosts of your pages."),
    ]
    return [each for each in (*found, *_tls(), *_origins()) if each is not None]


def check_shards(**_apps: Any) -> list[CheckMessage]:
    """What several shards, or real money, need: a database and a store that several processes share."""
    postgres = settings.DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql"
    several, real = settings.SUPERVISOR_SHARD_COUNT > 1, settings.ENABLE_REAL_TRADING
    database, store = "Set DATABASE_URL to postgres://….", "Set REDIS_URL to redis://…."
    found = [
        _error(20, real and not postgres, "ENABLE_REAL_TRADING needs Postgres.", database),
        _error(21, real and not settings.REDIS_URL, "ENABLE_REAL_TRADING needs Redis.", store),
        _error(22, several and not postgres, "Several shards need Postgres: SQLite has one writer.", database),
        _error(23, several and not settings.REDIS_URL, "Several shards need Redis: memory is not shared.", store),
    ]
    return [each for each in found if each is not None]


def check_real_trading(**_apps: Any) -> list[CheckMessage]:
    """What real money cannot be traded with; what needs the database is asked when a supervisor starts."""
    real, chain = settings.ENABLE_REAL_TRADING, settings.CHAIN_ID
    sentence = f"ENABLE_REAL_TRADING needs chain {POLYGON}, and CHAIN_ID is {chain}: orders are signed for it alone."
    twice = "SIGNER_SOCKET and TRADING_PRIVATE_KEY are both set: the signer's process has the key, this one must not."
    both = bool(settings.SIGNER_SOCKET) and bool(settings.TRADING_PRIVATE_KEY)
    found = [
        _error(27, real and chain != POLYGON, sentence, "Leave CHAIN_ID out, or ENABLE_REAL_TRADING."),
        _error(28, real and both, twice, "Set TRADING_PRIVATE_KEY_FILE for `runsigner` alone."),
    ]
    return [each for each in found if each is not None]


def check_left_on(**_apps: Any) -> list[CheckMessage]:
    """Switches for tries and drills that somebody may have forgotten."""
    found = [
        Warning(f"{name} is {getattr(settings, name)}: {DRILLS[name]}", hint=f"Leave {name} out.", id="slipstream.W030")
        for name in DRILLS
        if getattr(settings, name)
    ]
    return list(found)


def _tls() -> list[CheckMessage | None]:
    proxy = settings.SECURE_PROXY
    https = any(each.startswith("https://") for each in (*settings.DASHBOARD_ORIGINS, *settings.CSRF_TRUSTED_ORIGINS))
    secure = settings.SESSION_COOKIE_SECURE and settings.CSRF_COOKIE_SECURE
    clear = "SECURE_PROXY is off: cookies travel in clear."
    hint = "Put a TLS proxy in front that sets X-Forwarded-Proto, and set SECURE_PROXY."
    return [
        _error(13, https and not proxy, "Origins are https, but SECURE_PROXY is off: cookies are not secure.", hint),
        None if proxy or https else Warning(clear, hint=hint, id="slipstream.W013"),
        _error(14, proxy and not secure, "Cookies are not secure behind the TLS proxy.", "Leave them secure."),
        _error(15, proxy and not settings.SECURE_HSTS_SECONDS, "HSTS is off behind the TLS proxy.", "Leave it on."),
    ]


def _origins() -> Iterator[CheckMessage]:
    for name in ("DASHBOARD_ORIGINS", "CSRF_TRUSTED_ORIGINS"):
        for entry in getattr(settings, name):
            if not _ORIGIN.fullmatch(entry):
                hint = "Write scheme and host, such as https://copy.example.org."
                yield Error(f"{name}: {entry[:60]!r} is no single origin.", hint=hint, id="slipstream.E016")


def _error(number: int, wrong: bool, sentence: str, hint: str) -> CheckMessage | None:
    return Error(sentence, hint=hint, id=f"slipstream.E{number:03}") if wrong else None


def _guessable(key: str) -> bool:
    return key != settings.DEV_SECRET_KEY and (len(key) < KEY_LENGTH_MIN or len(set(key)) < KEY_LETTERS_MIN)


def _trouble(name: str, number: int) -> Iterator[str]:
    suffix = next((suffix for suffix in HIGHEST_BY_SUFFIX if name.endswith(suffix)), "")
    highest = HIGHEST_BY_SUFFIX.get(suffix, HIGHEST)
    if number < 0:
        yield f"{name} is {number}; it cannot be negative."
    elif number == 0 and name in AT_LEAST_ONE:
        yield f"{name} is 0; it must be at least 1."
    elif number > highest:
        yield f"{name} is {number}; more than {highest} is absurd."
