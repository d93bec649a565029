"""Secrets never reach a log line; identifiers of the same shape stay readable."""

from typing import Any

import pytest

from config.redaction import HIDDEN, Redaction, secrets_of

HEX64 = "ab" * 32
SIGNED = "0x" + "cd" * 65


def shown(name: str, value: Any, *known: str) -> Any:
    return Redaction(known)(None, "info", {name: value})[name]


@pytest.mark.parametrize(
    "name",
    [
        *("secret", "client_secret", "private_key", "operator_private_key", "api_key", "secret_key", "SECRET_KEY"),
        *("password", "passwd", "passphrase", "mnemonic", "signature", "authorization", "cookie", "credentials"),
        *("access_token", "csrf_token", "api_token", "url", "rpc_url", "database_url", "dsn"),
    ],
)
@pytest.mark.parametrize("value", ["x", b"x", 7, ["x"], {"a": "x"}])
def test_field_that_names_a_secret_is_hidden(name: str, value: Any) -> None:
    assert shown(name, value) == HIDDEN


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("order_hash", "0x" + HEX64),
        ("tx_hash", "0x" + HEX64),
        ("condition_id", "0x" + HEX64),
        ("token", "7" * 77),
        ("token_id", 7),
        ("lock_token", "0" * 31 + "1"),
        ("claim_token", "0" * 31 + "1"),
        ("key", "leader:5"),
        ("signal_key", "0xabc:BUY"),
        ("why", "the key of the group is 5"),
        ("secrets_found", 0),
        ("monkey", "0x" + HEX64),
    ],
)
def test_identifier_stays(name: str, value: Any) -> None:
    assert shown(name, value) == value


@pytest.mark.parametrize("value", [HEX64, "0x" + HEX64, HEX64.upper()])
@pytest.mark.parametrize("name", ["key", "operator_key", "keys"])
def test_private_key_shape_is_hidden_under_a_name_that_ends_in_key(name: str, value: str) -> None:
    assert shown(name, value) == HIDDEN


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("postgres://olga:hunter2@db/slipstream failed", f"postgres://olga:{HIDDEN}@db/slipstream failed"),
        ("redis://:p%40ss@host:6379/0", f"redis://:{HIDDEN}@host:6379/0"),
        ("redis://:p@ss@host:6379/0", f"redis://:{HIDDEN}@host:6379/0"),
        ("host=db password=hunter2 user=olga", f"host=db password={HIDDEN} user=olga"),
        ("{'api_key': 'abc', 'n': 1}", f"{{'api_key': '{HIDDEN}', 'n': 1}}"),
        (f"PRIVATE_KEY=0x{HEX64} order 0x{HEX64}", f"PRIVATE_KEY={HIDDEN} order 0x{HEX64}"),
        (f"key: 0x{HEX64}", f"key: {HIDDEN}"),
        ("Authorization: Bearer abcdefgh12345", f"Authorization: Bearer {HIDDEN}"),
        (f"sent {SIGNED} to the venue", f"sent {HIDDEN} to the venue"),
        ("order 0x" + HEX64, "order 0x" + HEX64),
        ("http://127.0.0.1:8000/ and 12:30", "http://127.0.0.1:8000/ and 12:30"),
    ],
)
def test_secret_in_a_sentence_is_hidden(text: str, left: str) -> None:
    assert shown("event", text) == left
    assert shown("deep", {"list": [text]}) == {"list": [left]}


def test_known_secrets_are_hidden_wherever_they_stand() -> None:
    known = secrets_of("a-long-key", "postgres://olga:p%40ssword@db/x", "redis://host/0", "")
    assert known == {"a-long-key", "p%40ssword", "p@ssword"}
    assert shown("event", "asked p@ssword of a-long-key", *known) == f"asked {HIDDEN} of {HIDDEN}"


def test_known_secret_too_short_to_be_told_from_a_word_is_left() -> None:
    assert shown("event", "a cat sat", "cat") == "a cat sat"


def test_bytes_are_counted_and_exceptions_are_read_as_sentences() -> None:
    assert shown("signed", b"12345") == "<5 bytes>"
    assert shown("error", ValueError("password=hunter2")) == f"password={HIDDEN}"
