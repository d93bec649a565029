"""The one file of settings. Unknown or missing values stop the boot with a sentence.

Every number names its unit and the reason for its default. Nothing below `copytrading.wiring` reads this
file: values are handed down as arguments.
"""

import re
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from config.logs import configure_structlog

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.FileAwareEnv()
"""Each secret may come from a file: SECRET_KEY_FILE, DATABASE_URL_FILE, REDIS_URL_FILE."""

# The demo brings everything it needs in its environment and must never meet an installation's database.
if not env.str("SLIPSTREAM_DEMO", default=""):
    environ.Env.read_env(str(BASE_DIR / ".env"))


def number(name: str, *, default: int) -> int:
    """A whole number from the environment. Raises ImproperlyConfigured with a sentence that names the setting."""
    text = env.str(name, default=str(default)).strip()
    if not re.fullmatch(r"-?[0-9]{1,15}", text):
        raise ImproperlyConfigured(f"{name} must be a whole number, not {text[:40]!r}.")
    return int(text)


DEBUG = env.bool("DEBUG", default=False)

DEV_SECRET_KEY = "insecure-key-for-demo-and-tests-only"  # noqa: S105  (refused by `check --deploy`)
SECRET_KEY = env.str("SECRET_KEY", default=DEV_SECRET_KEY)

ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
# Origins whose pages may open the dashboard's websocket; beside them only the page's own host.
DASHBOARD_ORIGINS: list[str] = env.list("DASHBOARD_ORIGINS", default=[])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "django_prometheus",
    "ledger",
    "guardrails",
    "execution",
    "copytrading",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Stores -------------------------------------------------------------------------------------------

DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'slipstream.sqlite3'}")}
_engine = DATABASES["default"]["ENGINE"]
if _engine == "django.db.backends.sqlite3":
    # IMMEDIATE: a read-then-write transaction takes the write lock at once instead of failing half-way
    # (measured: 63 of 80 failed deferred, 0 of 80 immediate). FULL: write-before-execute must survive
    # a power cut. timeout: seconds to wait for the other writer (web and supervisor are two).
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
elif _engine == "django.db.backends.postgresql":
    DATABASES["default"].setdefault("OPTIONS", {})
    # A request's connection ends with it: its thread does too. Worker threads keep theirs (ledger/db.py).
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    # Milliseconds: a hung query must not stop the pause button (reliability.md 5.1).
    DATABASES["default"]["OPTIONS"].setdefault(
        "options",
        "-c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=30000",
    )
else:
    raise ImproperlyConfigured(f"DATABASE_URL: {_engine} is not supported; use sqlite:///… or postgres://…")

REDIS_URL: str = env.str("REDIS_URL", default="")
"""Empty: stores live in this process's memory (one machine, one shard)."""

# Prefix of every Redis key, so that several installations can share a server.
REDIS_PREFIX: str = env.str("REDIS_PREFIX", default="slipstream")

if REDIS_URL:
    CACHES = {
        "default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": REDIS_URL, "KEY_PREFIX": REDIS_PREFIX}
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Web ----------------------------------------------------------------------------------------------

LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "dashboard"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# The demo and a single operator need no collectstatic; production may still run it.
WHITENOISE_USE_FINDERS = True
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
# A day of every "daily" limit is the UTC day: no daylight saving in money.
TIME_ZONE = "UTC"

SECURE_PROXY = env.bool("SECURE_PROXY", default=False)
"""True behind a TLS proxy that sets X-Forwarded-Proto: cookies become secure and HTTP is redirected."""
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Strict"
CSRF_COOKIE_SAMESITE = "Strict"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = SECURE_PROXY
if SECURE_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000  # one year, the value browsers' preload lists ask for
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True

# Bytes of a websocket message; the dashboard's are a few dozen. Daphne itself takes the same number as an option.
DAPHNE_WEBSOCKET_MAX_MESSAGE_SIZE = DAPHNE_WEBSOCKET_MAX_FRAME_SIZE = 65_536

# --- The engine ---------------------------------------------------------------------------------------

# Live execution comes with a later version; the switch exists so that `verify` can refuse to run beside it.
ENABLE_REAL_TRADING: bool = env.bool("ENABLE_REAL_TRADING", default=False)

# Milliseconds that rows of one group are gathered before they become a signal. One taker's fills of a
# transaction arrive within a few milliseconds of each other on the activity stream.
COPY_TRADING_COALESCE_MS: int = number("COPY_TRADING_COALESCE_MS", default=20)
# Signals waiting to be decided; at the bound the intake waits (replay) and nothing is dropped.
COPY_TRADING_QUEUE_MAX: int = number("COPY_TRADING_QUEUE_MAX", default=1_000)
# Copies decided and written in one transaction. Larger batches amortise round trips, smaller ones start sooner.
COPY_TRADING_BATCH_COPIES: int = number("COPY_TRADING_BATCH_COPIES", default=500)
# Orders under way at once; the bound on sockets and on what a crash leaves to ask about.
COPY_TRADING_IN_FLIGHT_MAX: int = number("COPY_TRADING_IN_FLIGHT_MAX", default=2_000)
# Milliseconds between group commits of outcomes.
COPY_TRADING_OUTCOME_FLUSH_MS: int = number("COPY_TRADING_OUTCOME_FLUSH_MS", default=5)
# Seconds after which a live signal is too old to copy. Stream delay is 2 to 3 s at p90 (polymarket.md 4.4).
COPY_TRADING_STALE_AFTER_S: int = number("COPY_TRADING_STALE_AFTER_S", default=60)
# Seconds an open order may stay without an answer before it becomes FAILED (EXPIRED).
COPY_TRADING_EXPIRE_AFTER_S: int = number("COPY_TRADING_EXPIRE_AFTER_S", default=600)
# Milliseconds that configs, limits and markets may be served from memory. Pauses are read fresh.
COPY_TRADING_CONFIG_CACHE_MS: int = number("COPY_TRADING_CONFIG_CACHE_MS", default=1_000)
# Milliseconds between lines of stage metrics in the log.
COPY_TRADING_METRICS_INTERVAL_MS: int = number("COPY_TRADING_METRICS_INTERVAL_MS", default=10_000)
# Milliseconds that SIGTERM may take: sources stop, the queue drains, sends finish.
COPY_TRADING_DRAIN_MS: int = number("COPY_TRADING_DRAIN_MS", default=10_000)
# Seconds a shard lease lives without its heartbeat.
COPY_TRADING_LEASE_TTL_S: int = number("COPY_TRADING_LEASE_TTL_S", default=15)
if COPY_TRADING_LEASE_TTL_S < 5:
    # A holder stops trusting its lease two seconds before it could end.
    raise ImproperlyConfigured("COPY_TRADING_LEASE_TTL_S must be at least 5 seconds.")
# Threads of the database door; each holds one connection.
COPY_TRADING_DB_THREADS: int = number("COPY_TRADING_DB_THREADS", default=4)
# Skip everything that spends: plan, sign, and write SKIPPED (DRY_RUN).
COPY_TRADING_DRY_RUN: bool = env.bool("COPY_TRADING_DRY_RUN", default=False)
# Followers that may trade, as wallet addresses; empty allows all.
COPY_TRADING_FOLLOWER_ALLOWLIST: list[str] = env.list("COPY_TRADING_FOLLOWER_ALLOWLIST", default=[])

# Money limits in whole dollars, 0 = none. They hold for all followers together, or for each market.
COPY_TRADING_MAX_PER_TRADE_USD: int = number("COPY_TRADING_MAX_PER_TRADE_USD", default=10_000)
COPY_TRADING_GLOBAL_HOURLY_USD: int = number("COPY_TRADING_GLOBAL_HOURLY_USD", default=0)
COPY_TRADING_GLOBAL_DAILY_USD: int = number("COPY_TRADING_GLOBAL_DAILY_USD", default=0)
COPY_TRADING_GLOBAL_HOURLY_COUNT: int = number("COPY_TRADING_GLOBAL_HOURLY_COUNT", default=0)
COPY_TRADING_GLOBAL_DAILY_COUNT: int = number("COPY_TRADING_GLOBAL_DAILY_COUNT", default=0)
COPY_TRADING_MARKET_HOURLY_USD: int = number("COPY_TRADING_MARKET_HOURLY_USD", default=0)
COPY_TRADING_MARKET_DAILY_USD: int = number("COPY_TRADING_MARKET_DAILY_USD", default=0)
COPY_TRADING_MARKET_HOURLY_COUNT: int = number("COPY_TRADING_MARKET_HOURLY_COUNT", default=0)
COPY_TRADING_MARKET_DAILY_COUNT: int = number("COPY_TRADING_MARKET_DAILY_COUNT", default=0)

# --- The paper venue ----------------------------------------------------------------------------------

# Full spread of a book made around the leader's price, in basis points of the price (0: a copy meets the
# leader's own price, rounded away from it to the tick), and the shares on each of its levels.
PAPER_SPREAD_BPS: int = number("PAPER_SPREAD_BPS", default=0)
PAPER_DEPTH_SHARES: int = number("PAPER_DEPTH_SHARES", default=5_000)
# Milliseconds before the venue answers, and the largest random addition.
PAPER_LATENCY_MS: int = number("PAPER_LATENCY_MS", default=0)
PAPER_JITTER_MS: int = number("PAPER_JITTER_MS", default=0)
# Of 10,000 orders, how many are refused, answered with a lost reply, or lost on the way.
PAPER_REJECT_BPS: int = number("PAPER_REJECT_BPS", default=0)
PAPER_LOST_ANSWER_BPS: int = number("PAPER_LOST_ANSWER_BPS", default=0)
PAPER_LOST_REQUEST_BPS: int = number("PAPER_LOST_REQUEST_BPS", default=0)
# Pretend dollars a paper follower starts with.
PAPER_START_USD: int = number("PAPER_START_USD", default=10_000)

# --- Logs ---------------------------------------------------------------------------------------------

LOG_LEVEL: str = env.str("LOG_LEVEL", default="INFO")
LOG_JSON: bool = env.bool("LOG_JSON", default=False)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
}
configure_structlog(level=LOG_LEVEL, as_json=LOG_JSON)
