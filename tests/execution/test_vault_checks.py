"""What is said about keys at every start, and that no page, setting or log line shows one."""

import pytest
from django.contrib import admin
from django.core.checks import run_checks
from django.views.debug import SafeExceptionReporterFilter
from pytest_django.fixtures import Settings

from config import secrets
from config.redaction import HIDDEN, Redaction
from execution.models import Secret
from ledger.hidden import Hidden
from tests.canaries import PRIVATE_KEY, hidden_keks, kek_text, leaks_in


def told() -> list[tuple[str | None, str]]:
    return [(found.id, str(found.msg)) for found in run_checks(tags=["slipstream"])]


def test_real_money_needs_a_key_encryption_key(settings: Settings) -> None:
    assert told() == []
    settings.ENABLE_REAL_TRADING = True
    ((number, sentence),) = told()
    assert number == "slipstream.E040"
    assert sentence.startswith("No key-encryption key is set")
    settings.SLIPSTREAM_KEK = hidden_keks("k1")
    assert told() == []


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("SLIPSTREAM_KEK", Hidden(kek_text("k1")[3:]), "slipstream.E040"),
        ("SLIPSTREAM_KEK", Hidden("k1:" + PRIVATE_KEY.hex()), "slipstream.E040"),
        ("TRADING_PRIVATE_KEY", Hidden(PRIVATE_KEY.hex() + "0"), "slipstream.E041"),
    ],
)
def test_a_setting_that_is_no_key_is_refused_without_being_shown(
    settings: Settings, name: str, value: Hidden, number: str
) -> None:
    setattr(settings, name, value)
    (found,) = run_checks(tags=["slipstream"])
    assert (found.id, leaks_in(f"{found.msg} {found.hint}")) == (number, [])
    assert name in found.msg


def test_two_sources_of_keys_are_refused(settings: Settings) -> None:
    settings.SLIPSTREAM_KEK, settings.SLIPSTREAM_KEK_PATH = hidden_keks("k1"), "/run/keks"
    ((number, sentence),) = told()
    assert (number, "both set" in sentence) == ("slipstream.E040", True)


def test_a_key_file_is_looked_for_where_real_money_is(settings: Settings) -> None:
    settings.SLIPSTREAM_KEK_PATH = "/nowhere/keks"
    assert told() == []
    settings.ENABLE_REAL_TRADING = True
    assert "There is no key file at /nowhere/keks" in told()[0][1]


def test_an_error_page_shows_no_key(settings: Settings) -> None:
    settings.SLIPSTREAM_KEK, settings.TRADING_PRIVATE_KEY = hidden_keks("k1"), Hidden(PRIVATE_KEY.hex())
    shown = SafeExceptionReporterFilter().get_safe_settings()
    assert "SLIPSTREAM_KEK" in shown
    assert leaks_in(f"{shown!r} {shown}") == []


def test_sealed_secrets_have_no_page_in_the_admin() -> None:
    assert not admin.site.is_registered(Secret)


def test_a_hidden_text_is_shown_by_nothing_but_asking() -> None:
    held = Hidden(PRIVATE_KEY.hex())
    assert (str(held), f"{held!r}", bool(held), bool(Hidden(""))) == ("<hidden>", "<hidden>", True, False)
    assert held.reveal() == PRIVATE_KEY.hex()
    with pytest.raises(TypeError, match="never copied or written out"):
        held.__reduce__()


def test_log_lines_hide_the_keys_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "SLIPSTREAM_KEK", hidden_keks("k1", "k2"))
    monkeypatch.setattr(secrets, "TRADING_PRIVATE_KEY", Hidden("0x" + PRIVATE_KEY.hex()))
    known = secrets.known_secrets()
    assert len(known) == 2 + 2
    redact = Redaction(known)
    for text in (PRIVATE_KEY.hex(), "0x" + PRIVATE_KEY.hex().upper(), kek_text("k2")):
        line = redact.text(f"it is {text} here")
        assert HIDDEN in line
        assert leaks_in(line) == []
