"""Each call asks once, signed over exactly what it sends, within its time, and reads only what it can trust."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from execution.clob.asking import Question
from execution.clob.auth import l2_signature
from execution.clob.client import PAGES_MAX, ClobClient, TradeFilter
from execution.clob.login import obtain_credentials
from execution.clob.warmth import Warmth
from execution.hosts import HostDown, HostRefused
from execution.http import Answer, HttpDown, NeverConnected, SharedHttp
from execution.ports import Login, SignerRefused
from tests.doors import BEGINNING, VirtualClock
from tests.execution.clob.clob_double import Asked, ClobDouble, clob_client, page
from tests.execution.clob.orders import API_KEY, PASSPHRASE, SECRET, SIGNER, TOKEN, access, credentials, trade_row

HASH = "0x" + "11" * 32
ORDER = f"GET /data/order/{HASH}"
TRADES = "GET /data/trades"
DERIVE, CREATE = "GET /auth/derive-api-key", "POST /auth/api-key"
NOW_S = int(BEGINNING.timestamp())
GIVEN = {"apiKey": API_KEY, "secret": SECRET, "passphrase": PASSPHRASE}


class CountingSigner:
    """`Signer` that attests any login."""

    def __init__(self) -> None:
        self.logins: list[Login] = []

    async def sign_order(self, plan: Any, *, key: str) -> bytes:
        raise SignerRefused

    async def sign_login(self, login: Login, *, key: str) -> bytes:
        assert key == login.address
        self.logins.append(login)
        return b"\x01" * 65

    async def sign_transaction(self, transaction: Any, *, key: str) -> bytes:
        raise SignerRefused


def signed(asked: Asked, *, timestamp: int = NOW_S) -> bool:
    expected = l2_signature(
        credentials().hmac_key, timestamp=timestamp, method=asked.method, path=asked.path, body=asked.body
    )
    return asked.headers["POLY_SIGNATURE"] == expected and asked.headers["POLY_TIMESTAMP"] == str(timestamp)


async def test_an_order_is_posted_as_the_bytes_it_is_with_its_signature() -> None:
    double = ClobDouble()
    double.reply("POST /order", (200, {"success": True}))
    async with double.serving(VirtualClock()) as client:
        answer = await client.post_order(b'{"order":{}}', credentials())
    (asked,) = double.asked
    assert (answer.status, asked.body, signed(asked)) == (200, b'{"order":{}}', True)
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["POLY_ADDRESS"] == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@pytest.mark.parametrize("trouble", ["silent", "cut"])
async def test_a_post_without_an_answer_is_never_repeated(trouble: str) -> None:
    double = ClobDouble()
    getattr(double, trouble).add("POST /order")
    async with double.serving(VirtualClock(), timeout_s=0.2) as client:
        with pytest.raises(HttpDown) as down:
            await client.post_order(b"{}", credentials())
        assert len(double.asked) == 1
    assert not isinstance(down.value, NeverConnected)


async def test_nobody_listening_is_never_connected() -> None:
    http = SharedHttp()
    client = clob_client(http, VirtualClock(), url="http://127.0.0.1:1")
    with pytest.raises(NeverConnected):
        await client.post_order(b"{}", credentials())
    await http.close()


async def test_requests_carry_the_time_of_the_venue() -> None:
    clock, double = VirtualClock(), ClobDouble()
    double.reply("GET /time", (200, NOW_S + 100))
    double.reply("POST /order", (200, {}))
    async with double.serving(clock) as client:
        assert await client.measure_time() == pytest.approx(100.5)
        await client.post_order(b"{}", credentials())
        double.reply("GET /time", (200, NOW_S + 1))
        assert await client.measure_time() == 0
    assert signed(double.to("POST /order")[0], timestamp=NOW_S + 100)


@pytest.mark.parametrize("told", [NOW_S * 1_000, 0, NOW_S + 100_000])
async def test_a_time_that_is_none_is_not_signed_with(told: int) -> None:
    double = ClobDouble()
    double.reply("GET /time", (200, told))
    async with double.serving(VirtualClock()) as client:
        with pytest.raises(HostDown, match="not its time"):
            await client.measure_time()
        assert client.timestamp() == NOW_S


async def test_trades_and_orders_share_the_limit_of_the_ledger() -> None:
    clock, double = VirtualClock(), ClobDouble()
    double.reply(TRADES, page())
    double.reply(ORDER, (200, None))
    async with double.serving(clock) as client:
        for _ in range(40):
            await client.trades(TradeFilter(), credentials())
        assert clock.monotonic_ms() < 1  # 500 a window, of which 80 % and a tenth of that at once
        for _ in range(40):
            await client.order(HASH, credentials())
        # 72 of the ledger's 900 at once: eight had to wait.
        assert clock.monotonic_ms() > 90


def test_no_value_of_a_request_shows_a_secret() -> None:
    answer = Answer(status=200, headers={"x": API_KEY}, body=json.dumps(GIVEN).encode())
    question = Question(kind="auth", path="/auth", headers={"POLY_SIGNATURE": SECRET}, credentials=credentials())
    told = f"{answer!r} {question!r} {access()!r}"
    assert [each for each in (API_KEY, SECRET, PASSPHRASE) if each in told] == []


@pytest.mark.parametrize("body", [b'"soon"', b"-5", b"1.5", b"<html>", b"{}"])
async def test_a_time_that_cannot_be_read_changes_nothing(body: bytes) -> None:
    double = ClobDouble()
    double.reply("GET /time", (200, body))
    async with double.serving(VirtualClock()) as client:
        with pytest.raises(HostDown):
            await client.measure_time()
        assert client.timestamp() == NOW_S


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ((200, {"id": HASH, "status": "LIVE"}), True),
        ((200, {"order": {"id": HASH}}), True),
        ((200, None), False),
        ((200, {}), False),
        ((404, {"error": "not found"}), False),
    ],
)
async def test_an_order_is_shown_or_not(reply: Any, found: bool) -> None:
    double = ClobDouble()
    double.reply(ORDER, reply)
    async with double.serving(VirtualClock()) as client:
        assert (await client.order(HASH, credentials()) is not None) == found
    assert signed(double.asked[0])


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((500, {}), HostDown),
        ((429, b"error code: 1015"), HostDown),
        ((425, b""), HostDown),
        ((200, b"<html>"), HostDown),
        ((200, b'{"id":'), HostDown),
        ((200, [1]), HostDown),
        ((401, {"error": "Unauthorized/Invalid api key"}), HostRefused),
        ((403, b""), HostRefused),
        ((302, b""), HostRefused),
    ],
)
async def test_anything_else_is_no_answer_or_a_refusal_and_is_asked_once(reply: Any, error: type[Exception]) -> None:
    double = ClobDouble()
    double.reply(ORDER, reply)
    async with double.serving(VirtualClock()) as client:
        with pytest.raises(error) as trouble:
            await client.order(HASH, credentials())
    assert len(double.asked) == 1
    assert HASH not in str(trouble.value)


async def test_a_venue_that_asked_to_be_left_alone_is_not_asked() -> None:
    clock, double = VirtualClock(), ClobDouble()
    double.reply(ORDER, (429, b"", {"Retry-After": "7"}), (200, None))
    async with double.serving(clock) as client:
        for _ in range(2):
            with pytest.raises(HostDown):
                await client.order(HASH, credentials())
        clock.advance(9)
        assert await client.order(HASH, credentials()) is None
    assert len(double.asked) == 2


async def test_only_a_hash_can_be_part_of_a_path() -> None:
    async with ClobDouble().serving(VirtualClock()) as client:
        with pytest.raises(ValueError, match="hash"):
            await client.order("../auth/api-keys", credentials())


async def test_all_pages_of_trades_are_read() -> None:
    double = ClobDouble()
    double.reply(TRADES, page(trade_row(HASH), following="Mg=="), page(trade_row(HASH, id="trade-2")))
    async with double.serving(VirtualClock()) as client:
        rows = await client.trades(TradeFilter(token_id=TOKEN, after_s=NOW_S), credentials())
    assert [row["id"] for row in rows] == ["trade-1", "trade-2"]
    assert [asked.query for asked in double.asked] == [
        {"asset_id": str(TOKEN), "after": str(NOW_S), "next_cursor": cursor} for cursor in ("MA==", "Mg==")
    ]
    assert all(signed(asked) for asked in double.asked)


@pytest.mark.parametrize("body", [[], {"data": []}, {"data": [], "next_cursor": ""}])
async def test_a_bare_list_is_a_page(body: object) -> None:
    double = ClobDouble()
    double.reply(TRADES, (200, body))
    async with double.serving(VirtualClock()) as client:
        assert await client.trades(TradeFilter(trade_id="x"), credentials()) == ()


@pytest.mark.parametrize("body", [{"data": None}, {"data": [5]}, {"rows": []}, 5])
async def test_what_is_no_page_is_no_answer(body: object) -> None:
    double = ClobDouble()
    double.reply(TRADES, (200, body))
    async with double.serving(VirtualClock()) as client:
        with pytest.raises(HostDown):
            await client.trades(TradeFilter(), credentials())


async def test_pages_without_end_are_given_up() -> None:
    double = ClobDouble()
    double.reply(TRADES, *(page(following=f"cursor-{number}") for number in range(PAGES_MAX + 5)))
    async with double.serving(VirtualClock()) as client:
        with pytest.raises(HostDown, match="more than"):
            await client.trades(TradeFilter(), credentials())
    assert len(double.asked) == PAGES_MAX


@pytest.mark.parametrize(
    ("hashes", "key", "body"),
    [([HASH], "DELETE /order", {"orderID": HASH}), ([HASH, "0x2"], "DELETE /orders", [HASH, "0x2"])],
)
async def test_orders_are_cancelled_by_their_hashes(hashes: list[str], key: str, body: object) -> None:
    double = ClobDouble()
    double.reply(key, (200, {"canceled": [HASH.upper()], "not_canceled": {"0x2": "order can't be found"}}))
    async with double.serving(VirtualClock()) as client:
        answer = await client.cancel(hashes, credentials())
    (asked,) = double.to(key)
    assert (json.loads(asked.body), signed(asked)) == (body, True)
    assert (answer.gone, dict(answer.kept)) == ({HASH.lower()}, {"0x2": "order can't be found"})


@pytest.mark.parametrize("body", [[], {"canceled": 5}, {"not_canceled": [1]}, b"<html>"])
async def test_a_cancel_that_cannot_be_read_is_no_answer(body: object) -> None:
    double = ClobDouble()
    double.reply("DELETE /order", (200, body))
    async with double.serving(VirtualClock()) as client:
        with pytest.raises(HostDown):
            await client.cancel([HASH], credentials())


async def test_credentials_are_derived_first() -> None:
    double, signer = ClobDouble(), CountingSigner()
    double.reply(DERIVE, (200, GIVEN))
    async with double.serving(VirtualClock()) as client:
        assert await obtain_credentials(client, signer, address=SIGNER) == credentials()
    (asked,) = double.asked
    assert signer.logins == [Login(address=SIGNER, timestamp=NOW_S)]
    assert (asked.headers["POLY_SIGNATURE"], asked.headers["POLY_NONCE"]) == ("0x" + "01" * 65, "0")


@pytest.mark.parametrize("status", [400, 404])
async def test_credentials_are_created_if_there_are_none(status: int) -> None:
    double = ClobDouble()
    double.reply(DERIVE, (status, {}))
    double.reply(CREATE, (200, GIVEN))
    async with double.serving(VirtualClock()) as client:
        assert await obtain_credentials(client, CountingSigner(), address=SIGNER) == credentials()


async def test_credentials_that_somebody_else_made_in_between_are_found() -> None:
    double = ClobDouble()
    double.reply(DERIVE, (404, {}), (200, GIVEN))
    double.reply(CREATE, (400, {"error": "Could not create api key"}))
    async with double.serving(VirtualClock()) as client:
        assert await obtain_credentials(client, CountingSigner(), address=SIGNER) == credentials()


@pytest.mark.parametrize(
    ("derive", "create", "error"),
    [
        ((401, {}), (200, GIVEN), HostRefused),
        ((500, {}), (200, GIVEN), HostDown),
        ((200, {"apiKey": API_KEY}), (200, GIVEN), HostDown),
        ((404, {}), (400, {}), HostDown),
        ((404, {}), (403, {}), HostRefused),
    ],
)
async def test_no_other_trouble_makes_new_credentials(derive: Any, create: Any, error: type[Exception]) -> None:
    double = ClobDouble()
    double.reply(DERIVE, derive)
    double.reply(CREATE, create)
    async with double.serving(VirtualClock()) as client:
        with pytest.raises(error) as trouble:
            await obtain_credentials(client, CountingSigner(), address=SIGNER)
    assert [secret for secret in GIVEN.values() if secret in str(trouble.value)] == []


async def test_connections_are_kept_warm_and_the_clock_is_compared() -> None:
    clock, double = VirtualClock(), ClobDouble()
    double.reply("GET /time", (200, NOW_S + 50))
    async with double.serving(clock) as client:
        warmth = Warmth(client, clock, connections=4, keep_alive_s=60)
        assert await warmth.run_once() == 4
        assert client.timestamp() == NOW_S + 50
        double.reply("GET /time", (500, {}))
        assert await warmth.run_once() == 0


async def test_warmth_ends_when_it_is_told_to() -> None:
    clock, double, stop = VirtualClock(), ClobDouble(), asyncio.Event()
    double.reply("GET /time", (200, NOW_S))

    def seen(_key: str) -> None:
        if len(double.asked) == 3:
            stop.set()

    double.on_ask = seen
    async with double.serving(clock) as client, asyncio.timeout(5):
        await Warmth(client, clock, connections=1, keep_alive_s=60).run(stop)
    assert len(double.asked) == 3
    assert clock.monotonic_ms() == pytest.approx(60_000, abs=1_000)


async def test_a_balance_is_asked_for_as_its_account_signs() -> None:
    double = ClobDouble()
    double.reply("GET /balance-allowance", (200, {"balance": "0"}))
    async with double.serving(VirtualClock()) as client:
        found = await client.collateral(access(signature_type=2))
    assert (found.micros, dict(found.allowances)) == (0, {})
    assert (double.asked[0].query["signature_type"], signed(double.asked[0])) == ("2", True)


def test_a_client_shows_nothing() -> None:
    client = clob_client(SharedHttp(), VirtualClock(BEGINNING + timedelta(days=1)), url="http://127.0.0.1:1")
    assert isinstance(client, ClobClient)
    assert "127.0.0.1" not in repr(client)
