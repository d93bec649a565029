"""`manage.py check` names the setting that is wrong; `check --deploy` refuses what is only fit for the demo."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.checks import ERROR, CheckMessage, run_checks
from pytest_django.fixtures import Settings

from copytrading import checks
from execution.deployments import PUBLISHED
from ledger.hidden import Hidden
from tests.canaries import kek_text
from tests.conftest import ROOT

POSTGRES = {"default": {"ENGINE": "django.db.backends.postgresql"}}
SQLITE = {"default": {"ENGINE": "django.db.backends.sqlite3"}}
FAYS_WALLET = "0x" + "aB" * 20


def plain() -> list[CheckMessage]:
    return run_checks(tags=["slipstream"])


def deploy() -> set[str]:
    return {found.id for found in run_checks(tags=["slipstream"], include_deployment_checks=True)}


@pytest.fixture
def fit(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings of an installation that passes."""
    settings.DEBUG = False
    settings.SECRET_KEY = "0123456789abcdef" * 4
    settings.ALLOWED_HOSTS = ["copy.example.org"]
    settings.SECURE_PROXY = settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SECURE_HSTS_SECONDS = 31_536_000
    settings.DASHBOARD_ORIGINS = ["https://ops.example.org"]
    settings.ENABLE_REAL_TRADING = True
    settings.BREAKER_ACCOUNT_DRAWDOWN_USD = 500
    settings.SLIPSTREAM_KEK = Hidden(GOOD["SLIPSTREAM_KEK"])
    settings.SUPERVISOR_SHARD_COUNT = 4
    settings.REDIS_URL = "redis://127.0.0.1"
    # Not by `settings`: Django warns whenever DATABASES is overridden, and warnings are errors.
    monkeypatch.setattr(django_settings, "DATABASES", POSTGRES)
    return settings


def test_default_settings_pass() -> None:
    assert plain() == []


def test_plain_check_says_nothing_about_deployment(settings: Settings) -> None:
    settings.DEBUG = True
    assert plain() == []


@pytest.mark.parametrize(
    ("name", "number", "sentence"),
    [
        ("PAPER_LATENCY_MS", -1, "PAPER_LATENCY_MS is -1; it cannot be negative."),
        ("PAPER_REJECT_BPS", 10_001, "PAPER_REJECT_BPS is 10001; more than 10000 is absurd."),
        ("PAPER_START_USD", 10**12 + 1, "PAPER_START_USD is 1000000000001; more than 1000000000000 is absurd."),
        ("BREAKER_ACCOUNT_LEAST_COUNT", 0, "BREAKER_ACCOUNT_LEAST_COUNT is 0; it must be at least 1."),
        ("BREAKER_VENUE_REJECTED_BPS", 10_001, "BREAKER_VENUE_REJECTED_BPS is 10001; more than 10000 is absurd."),
        ("BREAKER_PRICE_APART_BPS", -1, "BREAKER_PRICE_APART_BPS is -1; it cannot be negative."),
        ("BREAKER_ACCOUNT_DRAWDOWN_USD", -1, "BREAKER_ACCOUNT_DRAWDOWN_USD is -1; it cannot be negative."),
        ("PAPER_DEPTH_SHARES", -5, "PAPER_DEPTH_SHARES is -5; it cannot be negative."),
        ("SUPERVISOR_QUEUE_MAX_SIZE", 0, "SUPERVISOR_QUEUE_MAX_SIZE is 0; it must be at least 1."),
        ("COPY_TRADING_BATCH_COPIES", 10**7, "COPY_TRADING_BATCH_COPIES is 10000000; more than 1000000 is absurd."),
        ("COPY_TRADING_DB_THREADS", 0, "COPY_TRADING_DB_THREADS is 0; it must be at least 1."),
        ("COPY_TRADING_DB_THREADS", 65, "COPY_TRADING_DB_THREADS is 65; more than 64 is absurd."),
        ("COPY_TRADING_LEASE_TTL_S", 86_401, "COPY_TRADING_LEASE_TTL_S is 86401; more than 86400 is absurd."),
        ("DATA_API_SHARE_PERCENT", 101, "DATA_API_SHARE_PERCENT is 101; more than 100 is absurd."),
        ("GAMMA_MARKETS_COUNT", 0, "GAMMA_MARKETS_COUNT is 0; it must be at least 1."),
        ("COPY_TRADING_DRAIN_MS", -1, "COPY_TRADING_DRAIN_MS is -1; it cannot be negative."),
        ("COPY_TRADING_GLOBAL_DAILY_USD", -1, "COPY_TRADING_GLOBAL_DAILY_USD is -1; it cannot be negative."),
        (
            "COPY_TRADING_MARKET_DAILY_COUNT",
            10**10,
            "COPY_TRADING_MARKET_DAILY_COUNT is 10000000000; more than 1000000000 is absurd.",
        ),
    ],
)
def test_number_that_is_negative_or_absurd_is_named(settings: Settings, name: str, number: int, sentence: str) -> None:
    setattr(settings, name, number)
    assert sentence in [found.msg for found in plain()]
    assert all(found.level == ERROR for found in plain())


def test_every_number_has_a_bound(settings: Settings) -> None:
    numbers = [
        name
        for name in dir(django_settings)
        if name.startswith(checks.PREFIXES) and type(getattr(django_settings, name)) is int
    ]
    assert len(numbers) > 20
    for name in numbers:
        setattr(settings, name, 10**18 + 1)
    named = [found.msg.partition(" ")[0] for found in plain() if found.id == "slipstream.E001"]
    assert named == sorted(numbers)


def test_settings_that_may_not_be_zero_exist() -> None:
    assert [name for name in sorted(checks.AT_LEAST_ONE) if not hasattr(django_settings, name)] == []


def test_mix_of_the_paper_venue_is_no_more_than_all_orders(settings: Settings) -> None:
    settings.PAPER_REJECT_BPS, settings.PAPER_LOST_ANSWER_BPS = 6_000, 4_001
    assert [found.id for found in plain()] == ["slipstream.E002"]
    assert "add up to 10001 of 10000" in plain()[0].msg


@pytest.mark.parametrize(
    "entry",
    ["fay", "0x12", FAYS_WALLET + "0", " " + FAYS_WALLET, FAYS_WALLET + "\n", "0x" + "\N{ARABIC-INDIC DIGIT ONE}" * 40],
)
def test_allowlist_entry_that_is_no_wallet_is_named(settings: Settings, entry: str) -> None:
    settings.COPY_TRADING_FOLLOWER_ALLOWLIST = [FAYS_WALLET, entry]
    (found,) = plain()
    assert found.id == "slipstream.E003"
    assert "COPY_TRADING_FOLLOWER_ALLOWLIST" in found.msg
    assert repr(entry[:60]) in found.msg


def test_allowlist_of_wallets_passes(settings: Settings) -> None:
    settings.COPY_TRADING_FOLLOWER_ALLOWLIST = [FAYS_WALLET, FAYS_WALLET.lower()]
    assert plain() == []


@pytest.mark.parametrize(
    ("name", "value", "code", "sentence"),
    [
        ("CHAIN_ID", 1, "E005", "CHAIN_ID: Chain id 1 is unknown: contracts are published for 137 and 80002 only."),
        ("CONTRACT_ROUTER", "0x12", "E006", "CONTRACT_ROUTER: The address '0x12' of router is not 0x and 40 hex"),
        ("CONTRACT_COLLATERAL", "0x" + "00" * 20, "E006", "CONTRACT_COLLATERAL: The address"),
        (
            "CONTRACT_EXCHANGE_V2",
            PUBLISHED[137].router,
            "E006",
            "CONTRACT_EXCHANGE_V2: The contracts exchange_v2 and router have the same address",
        ),
        ("RPC_URLS", "https://node.example,ftp://key@node", "E007", "RPC_URLS: Address 2 of RPC_URLS begins with none"),
        ("DATA_API_URL", "wss://data.example", "E008", "DATA_API_URL begins with neither http:// nor https://"),
        (
            "COPY_TRADING_WS_URL",
            "https://x.example",
            "E008",
            "COPY_TRADING_WS_URL begins with neither ws:// nor wss://",
        ),
        ("GAMMA_URL", "gamma.example", "E008", "GAMMA_URL begins with neither"),
        ("CLOB_URL", "https://[broken", "E008", "CLOB_URL begins with neither"),
    ],
)
def test_chain_contract_or_address_that_cannot_be_meant_is_named(
    settings: Settings, name: str, value: object, code: str, sentence: str
) -> None:
    setattr(settings, name, value)
    (found,) = plain()
    assert found.id == f"slipstream.{code}"
    assert found.msg.startswith(sentence)
    assert "key@" not in found.msg


def test_two_contracts_that_were_set_to_one_address_are_named(settings: Settings) -> None:
    settings.CONTRACT_ROUTER = settings.CONTRACT_AUTO_REDEEMER = FAYS_WALLET
    (found,) = plain()
    assert found.msg.startswith("CONTRACT_*: The contracts router and auto_redeemer have the same address")


def test_a_contract_is_read_even_where_the_chain_is_unknown(settings: Settings) -> None:
    settings.CHAIN_ID, settings.CONTRACT_ROUTER = 1, "nonsense"
    assert [found.id for found in plain()] == ["slipstream.E005", "slipstream.E006"]


def test_fit_deployment_passes(fit: Settings) -> None:
    assert deploy() == set()


@pytest.mark.parametrize(
    ("name", "value", "codes"),
    [
        ("DEBUG", True, {"E010"}),
        ("SECRET_KEY", django_settings.DEV_SECRET_KEY, {"E011"}),
        ("SECRET_KEY", "0123456789abcdef" * 3, {"E011"}),
        ("SECRET_KEY", "abab" * 20, {"E011"}),
        ("ALLOWED_HOSTS", ["copy.example.org", "*"], {"E012"}),
        ("ALLOWED_HOSTS", [], {"E012"}),
        ("SECURE_PROXY", False, {"E013"}),
        ("SESSION_COOKIE_SECURE", False, {"E014"}),
        ("CSRF_COOKIE_SECURE", False, {"E014"}),
        ("SECURE_HSTS_SECONDS", 0, {"E015"}),
        ("DASHBOARD_ORIGINS", ["*"], {"E016"}),
        ("DASHBOARD_ORIGINS", ["https://*.example.org"], {"E016"}),
        ("DASHBOARD_ORIGINS", ["ops.example.org"], {"E016"}),
        ("CSRF_TRUSTED_ORIGINS", ["https://*"], {"E016"}),
        ("REDIS_URL", "", {"E021", "E023"}),
        ("COPY_TRADING_DRY_RUN", True, {"W030"}),
        ("PAPER_REJECT_BPS", 1, {"W030"}),
        ("PAPER_LOST_ANSWER_BPS", 1, {"W030"}),
        ("PAPER_LOST_REQUEST_BPS", 1, {"W030"}),
        ("SUPERVISOR_SELFTEST_EXIT", True, {"W030"}),
        ("RPC_URLS", "wss://node.example", {"E024"}),
        ("RPC_URLS", "https://node.example,wss://node.example", set()),
        ("RPC_URLS", "http://127.0.0.1:8545,ws://localhost:8546,http://[::1]:8545", set()),
        ("RPC_URLS", "http://node.example", {"W031"}),
        ("RPC_URLS", "https://node.example ws://10.0.0.7:8546", {"W031"}),
        ("COPY_TRADING_CHAIN_LOGS", True, {"E024"}),
        ("COPY_TRADING_MEMPOOL", True, {"E024", "E025"}),
        ("COPY_TRADING_POLL_ACTIVE_MS", 60_001, {"E026"}),
        ("COPY_TRADING_POLL_FAST_QUIET_MS", 999, {"E026"}),
        ("DATA_API_URL", "http://data.example", {"W032"}),
        ("COPY_TRADING_WS_URL", "ws://live.example", {"W032"}),
        ("COPY_TRADING_WS_URL", "ws://127.0.0.1:4000/activity", {"W033"}),
        ("GAMMA_URL", "https://localhost/gamma", {"W033"}),
        ("COPY_TRADING_SIGNAL_MODE", "WS_ONLY", {"W034"}),
    ],
)
def test_deployment_that_is_not_fit_is_refused(fit: Settings, name: str, value: object, codes: set[str]) -> None:
    setattr(fit, name, value)
    assert deploy() == {f"slipstream.{code}" for code in codes}


def test_breakers_that_do_not_fit_together_are_named(settings: Settings) -> None:
    settings.BREAKER_ACCOUNT_WINDOW_COUNT = 4
    (found,) = plain()
    assert (found.id, found.level) == ("slipstream.E009", ERROR)
    assert "window must lie between its 5 answers" in found.msg


@pytest.mark.parametrize("name", checks.DRAWDOWNS)
def test_real_money_without_a_bound_on_a_days_loss_is_warned_of(fit: Settings, name: str) -> None:
    fit.BREAKER_ACCOUNT_DRAWDOWN_USD = 0
    assert deploy() == {"slipstream.W035"}
    setattr(fit, name, 500)
    assert deploy() == set()


def test_mempool_needs_somebody_who_pushes(fit: Settings) -> None:
    fit.COPY_TRADING_MEMPOOL, fit.RPC_URLS = True, "https://node.example"
    assert deploy() == {"slipstream.E025"}
    fit.RPC_URLS += ",wss://node.example"
    assert deploy() == set()


def test_no_sentence_shows_the_address_of_a_node(fit: Settings) -> None:
    fit.RPC_URLS = "http://node.example/v2/fays-key"
    (found,) = run_checks(tags=["slipstream"], include_deployment_checks=True)
    assert "Address 1 of RPC_URLS is not encrypted" in found.msg
    assert "node.example" not in f"{found.msg} {found.hint}"


def test_each_finding_says_what_to_do(fit: Settings) -> None:
    fit.DEBUG = fit.COPY_TRADING_DRY_RUN = True
    fit.SECRET_KEY, fit.ALLOWED_HOSTS, fit.REDIS_URL, fit.DASHBOARD_ORIGINS = "short", ["*"], "", ["*"]
    found = run_checks(tags=["slipstream"], include_deployment_checks=True)
    assert len(found) == 7
    assert all(each.hint and each.msg.endswith(".") for each in found)


def test_without_tls_and_without_https_origins_it_only_warns(fit: Settings) -> None:
    fit.SECURE_PROXY, fit.DASHBOARD_ORIGINS = False, []
    assert deploy() == {"slipstream.W013"}


def test_sqlite_is_refused_for_real_money_and_for_several_shards(
    fit: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(django_settings, "DATABASES", SQLITE)
    assert deploy() == {"slipstream.E020", "slipstream.E022"}
    fit.ENABLE_REAL_TRADING = False
    assert deploy() == {"slipstream.E022"}


def test_one_shard_on_paper_needs_neither_postgres_nor_redis(fit: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django_settings, "DATABASES", SQLITE)
    fit.ENABLE_REAL_TRADING, fit.REDIS_URL, fit.SUPERVISOR_SHARD_COUNT = False, "", 1
    assert deploy() == set()


GOOD = {
    "SECRET_KEY": "0123456789abcdef" * 4,
    "ALLOWED_HOSTS": "copy.example.org",
    "SECURE_PROXY": "true",
    "DATABASE_URL": "postgres://slipstream:secret@127.0.0.1/slipstream",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "SUPERVISOR_SHARD_COUNT": "2",
    "ENABLE_REAL_TRADING": "true",
    "BREAKER_ACCOUNT_DRAWDOWN_USD": "500",
    "SLIPSTREAM_KEK": kek_text("k1"),
}


def check_deploy(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={**os.environ, **GOOD, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_good_production_settings_pass_every_check_of_django_too() -> None:
    found = check_deploy()
    assert found.returncode == 0, found.stderr
    assert "no issues" in found.stdout


def test_several_shards_on_sqlite_end_the_command_with_its_sentence(tmp_path: Path) -> None:
    found = check_deploy(DATABASE_URL=f"sqlite:///{tmp_path}/x.sqlite3", ENABLE_REAL_TRADING="false")
    assert found.returncode == 1
    assert "(slipstream.E022) Several shards need Postgres: SQLite has one writer." in found.stderr
    assert "HINT: Set DATABASE_URL to postgres://…." in found.stderr
