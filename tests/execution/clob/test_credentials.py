"""Secrets are in requests and nowhere else."""

import dataclasses
import json
import logging

import pytest
from eth_utils import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from execution.clob.credentials import CredentialsError, checksummed, read_credentials
from execution.clob.user_stream import subscription
from tests.execution.clob.orders import API_KEY, PASSPHRASE, SECRET, SIGNER, access, credentials


def test_no_secret_is_in_any_text_of_credentials_or_access() -> None:
    texts = [f"{each!r} {each} {[each]}" for each in (credentials(), access())]
    texts.append(logging.makeLogRecord({"msg": "%s", "args": (credentials(),)}).getMessage())
    hidden = (API_KEY, SECRET, PASSPHRASE, repr(credentials().hmac_key))
    assert [secret for secret in hidden for text in texts if secret in text] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": 'a"b'},
        {"api_key": "a\nb"},
        {"passphrase": ""},
        {"passphrase": "x" * 201},
        {"secret": "a"},
        {"secret": "ä"},
    ],
)
def test_what_cannot_be_credentials_is_refused_without_repeating_it(wrong: dict[str, str]) -> None:
    with pytest.raises(CredentialsError) as refused:
        credentials(**wrong)
    (value,) = wrong.values()
    assert refused.value.__cause__ is None
    assert not value or len(value) < 3 or value not in str(refused.value)


@pytest.mark.parametrize("value", [None, [], {}, {"apiKey": "a", "secret": SECRET}, {"apiKey": 1, "secret": 2}])
def test_an_answer_without_credentials_is_refused(value: object) -> None:
    with pytest.raises(CredentialsError):
        read_credentials(value, address=SIGNER)


def test_credentials_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        credentials().secret = "other"  # type: ignore[misc]


def test_the_subscription_carries_them() -> None:
    sent = json.loads(subscription(credentials(), markets=["0x1"]))
    assert sent == {
        "type": "user",
        "auth": {"apiKey": API_KEY, "secret": SECRET, "passphrase": PASSPHRASE},
        "markets": ["0x1"],
    }


@given(st.binary(min_size=20, max_size=20))
def test_addresses_are_written_as_everybody_writes_them(address: bytes) -> None:
    assert checksummed("0x" + address.hex()) == to_checksum_address(address)
