"""The headers are those that the venue's own client sends, byte for byte."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_clob_client_v2.clob_types import ApiCreds, RequestArgs
from py_clob_client_v2.headers.headers import create_level_2_headers
from py_clob_client_v2.signer import Signer as OfficialSigner

from execution.clob.auth import l1_headers, l2_headers, l2_signature
from execution.ports import Login
from tests.execution.clob.orders import API_KEY, PASSPHRASE, SECRET, SIGNER, credentials

ANVIL_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ZEROS = "A" * 43 + "="


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/order", b'{"hash":"0x123"}', "TZG7M34gBe1kq1XUzaCxRFCkvdGU_zHBa7bRjwWTlF4="),
        ("GET", "/data/orders", b"", "m6lGS9WyES7JjpAYNd7zIdW5bfHxAAI_pIa1St9vLO4="),
    ],
)
def test_hmac_has_the_stated_value(method: str, path: str, body: bytes, expected: str) -> None:
    key = credentials(secret=ZEROS).hmac_key
    assert l2_signature(key, timestamp=1_700_000_000, method=method, path=path, body=body) == expected


def test_every_recorded_hmac_is_reproduced(shared_data: Path) -> None:
    rows = json.loads((shared_data / "vectors/orders_eip712_hmac.json").read_text())["l2_hmac"]
    assert len(rows) == 15
    for row in rows:
        found = l2_signature(
            credentials(secret=row["secret"]).hmac_key,
            timestamp=int(row["timestamp"]),
            method=row["method"],
            path=row["path"],
            # The official client signs a dict's text with other quotes; we only ever have the bytes that are sent.
            body=(row["body"] or "").replace("'", '"').encode(),
        )
        assert found == row["signature"], row["path"]


@given(
    timestamp=st.integers(min_value=0, max_value=2**33),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    path=st.sampled_from(["/order", "/data/trades", "/balance-allowance"]),
    body=st.sampled_from([None, "", '{"a":1}', '["0x1"]', '{"name":"ä"}']),
)
def test_all_headers_are_those_of_the_official_client(timestamp: int, method: str, path: str, body: str | None) -> None:
    official = create_level_2_headers(
        OfficialSigner(ANVIL_KEY, 137),
        ApiCreds(api_key=API_KEY, api_secret=SECRET, api_passphrase=PASSPHRASE),
        RequestArgs(method=method, request_path=path, serialized_body=body),
        timestamp,
    )
    ours = l2_headers(credentials(), timestamp=timestamp, method=method, path=path, body=(body or "").encode())
    assert {name: str(value) for name, value in official.items()} == ours


def test_login_headers_name_address_time_and_nonce() -> None:
    found = l1_headers(Login(address=SIGNER, timestamp=10_000_000, nonce=23), b"\x01" * 65)
    assert found == {
        "POLY_ADDRESS": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "POLY_SIGNATURE": "0x" + "01" * 65,
        "POLY_TIMESTAMP": "10000000",
        "POLY_NONCE": "23",
    }
