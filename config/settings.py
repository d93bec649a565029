"""What Django and the web process are told. Unknown, wrong or missing values stop the boot with a sentence.

The engine's own settings are in `config.engine`, which says how one is added; each names its unit and its reason.
Nothing below `copytrading.wiring` reads settings: values are handed down as arguments. Every setting may come from
a file instead, which NAME_FILE names: SECRET_KEY_FILE, DATABASE_URL_FILE, REDIS_URL_FILE.
"""

import warnings

from django.core.exceptions import ImproperlyConfigured

from config.accounts import *  # noqa: F403  (every name of that file is a setting)
from config.breakers import *  # noqa: F403  (every name of that file is a setting)
from config.chain import *  # noqa: F403  (every name of that file is a setting)
from config.clob import *  # noqa: F403  (every name of that file is a setting)
from config.engine import *  # noqa: F403  (every name of that file is a setting)
from config.engine import COPY_TRADING_LEASE_TTL_S, SUPERVISOR_SHARD_COUNT, SUPERVISOR_SHARD_INDEX
from config.environment import BASE_DIR, declare
from config.logs import configure_logs
from config.polling import *  # noqa: F403  (every name of that file is a setting)
from config.prices import *  # noqa: F403  (every name of that file is a setting)
from config.redaction import secrets_of
from config.secrets import *  # noqa: F403  (every name of that file is a setting)
from config.secrets import known_secrets
from config.streams import *  # noqa: F403  (every name of that file is a setting)
from config.theme import UNFOLD  # noqa: F401  (django-unfold reads it)

# --- Pages --------------------------------------------------------------------------------------------

declare.group("Pages")

DEBUG = declare.switch("DEBUG", default=False, meaning="Error pages show settings and queries; for development only.")

DEV_SECRET_KEY = "insecure-key-for-demo-and-tests-only"  # noqa: S105  (refused by `check --deploy`)
SECRET_KEY = declare.secret(
    "SECRET_KEY",
    default=DEV_SECRET_KEY,
    shown_default="a public key, refused by `check --deploy`",
    meaning="Signs sessions and forms: a long random text.",
)
ALLOWED_HOSTS: list[str] = declare.words(
    "ALLOWED_HOSTS",
    default=("localhost", "127.0.0.1", "[::1]"),
    meaning="Names under which the pages may be asked for.",
)
DASHBOARD_ORIGINS: list[str] = declare.words(
    "DASHBOARD_ORIGINS",
    default=(),
    meaning="Origins whose pages may open the dashboard's websocket; beside them only the page's own host.",
)
CSRF_TRUSTED_ORIGINS: list[str] = declare.words(
    "CSRF_TRUSTED_ORIGINS",
    default=(),
    meaning="Origins that may send forms, such as https://copy.example.org behind a proxy that changes Host.",
)
SECURE_PROXY = declare.switch(
    "SECURE_PROXY",
    default=False,
    meaning="True behind a TLS proxy that sets X-Forwarded-Proto: cookies become secure and HTTP is redirected.",
)

INSTALLED_APPS = [
    "daphne",
    # Before Django's admin: it puts its own site in place of Django's.
    "unfold",
    "unfold.contrib.filters",
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

declare.group("Stores")

DATABASES = {
    "default": declare.database(
        "DATABASE_URL",
        default=f"sqlite:///{BASE_DIR / 'slipstream.sqlite3'}",
        shown_default="sqlite:///slipstream.sqlite3",
        meaning="sqlite:///PATH, or postgres://USER:PASSWORD@HOST/NAME for many followers or several shards.",
    )
}
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
else:
    DATABASES["default"].setdefault("OPTIONS", {})
    # A request's connection ends with it: its thread does too. Worker threads keep theirs (ledger/db.py).
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    # Milliseconds: a hung query must not stop the pause button (reliability.md 5.1).
    DATABASES["default"]["OPTIONS"].setdefault(
        "options",
        "-c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=30000",
    )

REDIS_URL: str = declare.secret(
    "REDIS_URL",
    default="",
    shown_default="empty",
    meaning="redis://HOST:PORT/NUMBER. Empty: stores live in each process's memory (one machine, one shard).",
)
REDIS_PREFIX: str = declare.text(
    "REDIS_PREFIX",
    default="slipstream",
    meaning="Before every key in Redis, so that several installations can share a server.",
)

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
# Only collectstatic makes the folder, and the finders serve without it: that it is missing is nothing to warn of.
warnings.filterwarnings("ignore", message="No directory at: ", category=UserWarning)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
# A day of every "daily" limit is the UTC day: no daylight saving in money.
TIME_ZONE = "UTC"
# Dates in lists and pages; Django asks its own formats of the language before the settings.
FORMAT_MODULE_PATH = "config.formats"

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Strict"
CSRF_COOKIE_SAMESITE = "Strict"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = SECURE_PROXY
if SECURE_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    # Probes ask this process itself, without the proxy.
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
    SECURE_HSTS_SECONDS = 31_536_000  # one year, the value browsers' preload lists ask for
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True

# Bytes of a websocket message; the dashboard's are a few dozen. Daphne itself takes the same number as an option.
DAPHNE_WEBSOCKET_MAX_MESSAGE_SIZE = DAPHNE_WEBSOCKET_MAX_FRAME_SIZE = 65_536

# --- Logs ---------------------------------------------------------------------------------------------

declare.group("Logs")

LOG_LEVEL: str = declare.choice(
    "LOG_LEVEL",
    default="INFO",
    options=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    meaning="Less important lines are left out.",
)
LOG_JSON: bool | None = declare.switch_or_auto(
    "LOG_JSON",
    meaning="One JSON object a line, or sentences for people; `auto`: sentences on a terminal, JSON otherwise.",
)
LOGGING_CONFIG = None  # `configure_logs` sets up the standard library's logging too, so that all lines look alike.
configure_logs(
    level=LOG_LEVEL,
    as_json=LOG_JSON,
    secrets=secrets_of(SECRET_KEY, REDIS_URL, str(DATABASES["default"].get("PASSWORD", ""))) | known_secrets(),
)

# --- Together -----------------------------------------------------------------------------------------

if not SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY is empty; set it to a long random text, or leave it out to try things.")
if COPY_TRADING_LEASE_TTL_S < 5:
    # A holder stops trusting its lease two seconds before it could end.
    raise ImproperlyConfigured("COPY_TRADING_LEASE_TTL_S must be at least 5 seconds.")
if not 0 <= SUPERVISOR_SHARD_INDEX < SUPERVISOR_SHARD_COUNT:
    raise ImproperlyConfigured("SUPERVISOR_SHARD_INDEX must lie below SUPERVISOR_SHARD_COUNT, and not below 0.")

# supervisord itself tells its children these.
OF_SUPERVISORD = frozenset(
    {"SUPERVISOR_ENABLED", "SUPERVISOR_SERVER_URL", "SUPERVISOR_PROCESS_NAME", "SUPERVISOR_GROUP_NAME"}
)
PREFIXES = ("COPY_TRADING_", "PAPER_", "SUPERVISOR_", "BREAKER_", "COMMISSION_", "SIGNER_")
declare.refuse_unknown(PREFIXES, spared=OF_SUPERVISORD)
# Names without such a prefix: only near misses. Loggers of other programs ask for LOGLEVEL.
declare.refuse_near_misses(spared=OF_SUPERVISORD | {"LOGLEVEL"})
SETTINGS = declare.settings
"""Every setting, as `manage.py settings` lists it."""
