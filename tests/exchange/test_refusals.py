"""What real money is not traded with: said by the checks before anything starts, and refused at the start."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from copytrading.checks import check_real_trading
from copytrading.wiring_exchange import refuse_real_trading
from copytrading.wiring_signer import build_vault
from ledger.hidden import Hidden
from tests.canaries import PRIVATE_KEY, hidden_keks
from tests.conftest import ROOT

KEY = Hidden(PRIVATE_KEY.hex())


@pytest.fixture
def fit(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Settings with which real money may be traded."""
    monkeypatch.setattr("copytrading.wiring_exchange.connection", SimpleNamespace(vendor="postgresql"))
    settings.ENABLE_REAL_TRADING, settings.CHAIN_ID = True, 137
    settings.REDIS_URL = "redis://127.0.0.1"
    settings.SIGNER_SOCKET, settings.TRADING_PRIVATE_KEY = "", Hidden("")
    settings.SLIPSTREAM_KEK = hidden_keks("k1")
    return settings


def codes() -> list[str | None]:
    return [found.id for found in check_real_trading()]


@pytest.mark.django_db
def test_what_is_fit_starts_and_no_check_speaks(fit: Any) -> None:
    refuse_real_trading()
    assert codes() == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "sentence", "expected"),
    [
        ({"REDIS_URL": ""}, "needs Redis", []),  # E021 says it for every deployment
        ({"CHAIN_ID": 80_002}, "needs chain 137", ["slipstream.E027"]),
        ({"SIGNER_SOCKET": "/run/signer", "TRADING_PRIVATE_KEY": KEY}, "are both set", ["slipstream.E028"]),
    ],
)
def test_what_is_not_fit_is_a_sentence(fit: Any, changes: dict[str, Any], sentence: str, expected: list[str]) -> None:
    for name, value in changes.items():
        setattr(fit, name, value)
    with pytest.raises(ImproperlyConfigured, match=sentence):
        refuse_real_trading()
    assert codes() == expected


def test_one_writer_is_not_enough_for_real_money(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("copytrading.wiring_exchange.connection", SimpleNamespace(vendor="sqlite"))
    with pytest.raises(ImproperlyConfigured, match="needs Postgres"):
        refuse_real_trading()


@pytest.mark.django_db
def test_secrets_whose_key_is_missing_keep_it_from_starting(fit: Any) -> None:
    build_vault().put("API_CREDENTIALS:0x" + "ab" * 20, b"{}")
    refuse_real_trading()
    fit.SLIPSTREAM_KEK = hidden_keks("k2")
    with pytest.raises(ImproperlyConfigured, match="sealed under key k1"):
        refuse_real_trading()


def test_without_real_money_nothing_of_it_is_checked(fit: Any) -> None:
    fit.ENABLE_REAL_TRADING = False
    fit.CHAIN_ID, fit.SIGNER_SOCKET, fit.TRADING_PRIVATE_KEY = 80_002, "/run/signer", KEY
    assert codes() == []


def test_no_number_of_a_finding_is_used_in_two_places() -> None:
    """An operator who silences one finding must not silence another."""
    seen: dict[int, Path] = {}
    for path in sorted(ROOT.glob("*/**/checks.py")):
        if "verification" in path.parts or "tests" in path.parts:
            continue
        text = path.read_text()
        for number in {int(each) for each in re.findall(r"slipstream\.[EW](\d{3})|", text) if each} | {
            int(each) for each in re.findall(r"_error\((\d+),", text)
        }:
            assert number not in seen, f"{number} is used in {seen[number]} and {path}"
            seen[number] = path
    assert len(seen) > 20
