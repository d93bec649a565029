"""The signer behind its Unix socket: what an engine asks and hears, and what nobody can make it do."""

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.eip1559 import Transaction
from execution.orders import OrderPlan
from execution.ports import Login, Signer, SignerRefused
from execution.signer import server
from execution.signer.frames import (
    FRAME_BYTES_MAX,
    Answered,
    Asked,
    BadFrame,
    answer_bytes,
    frame_length,
    read_answer,
    read_request,
    request_bytes,
)
from execution.signer.remote import RemoteSigner
from execution.signer.server import SignerServer, SocketTaken
from tests.execution.signers import ACCOUNTS, FAY, FRED, SESSION, approval, local_signer, login, plan, plan_of


@asynccontextmanager
async def serving(path: Path, signer: Signer | None = None) -> AsyncIterator[RemoteSigner]:
    """A server on this path, and an engine's side of it."""
    stop = asyncio.Event()
    served = SignerServer(signer or local_signer(), path)
    running = asyncio.create_task(served.run(stop))
    await served.listening.wait()
    remote = RemoteSigner(path, answer_s=5)
    try:
        yield remote
    finally:
        await remote.close()
        stop.set()
        await running


def modes(folder: Path) -> dict[str, int]:
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}


def leave_socket(path: Path) -> None:
    """As a killed process leaves its socket."""
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    assert path.is_socket()


def leave_file(path: Path) -> None:
    path.write_text("mine")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signer"


async def test_it_signs_what_the_local_signer_signs(path: Path) -> None:
    async with serving(path) as remote:
        for wallet in ACCOUNTS:
            order = plan_of(wallet, whole_cents=True)
            assert await remote.sign_order(order, key=order.key) == await local_signer().sign_order(
                order, key=order.key
            )
        assert await remote.sign_login(login(SESSION), key=SESSION) == await local_signer().sign_login(
            login(SESSION), key=SESSION
        )


async def test_a_refusal_comes_back_as_its_sentence(path: Path) -> None:
    async with serving(path) as remote:
        with pytest.raises(SignerRefused, match=f"The key {FRED} does not belong to the wallet {FAY}"):
            await remote.sign_order(plan(), key=FRED)
        with pytest.raises(SignerRefused, match="for its own address"):
            await remote.sign_login(login(FRED), key=FAY)


async def test_many_requests_share_one_connection_and_each_gets_its_own_answer(path: Path) -> None:
    orders = [plan(salt=number) for number in range(1, 301)]
    async with serving(path) as remote:
        signed = await asyncio.gather(*(remote.sign_order(order, key=FAY) for order in orders))
    local = local_signer()
    assert list(signed) == [await local.sign_order(order, key=FAY) for order in orders]
    assert len(set(signed)) == 300


class Slow:
    """A signer that answers the second request before the first, and may fail."""

    def __init__(self) -> None:
        self.first, self.came = asyncio.Event(), asyncio.Event()

    async def sign_order(self, plan: OrderPlan, *, key: str) -> bytes:
        self.came.set()
        if plan.salt == 1:
            await self.first.wait()
        if plan.salt == 13:
            raise RuntimeError("a bug, with who knows what in its text")
        self.first.set()
        return plan.salt.to_bytes(2, "big")

    async def sign_login(self, login: Login, *, key: str) -> bytes:
        raise SignerRefused("never")

    async def sign_transaction(self, transaction: Transaction, *, key: str) -> bytes:
        raise SignerRefused("never")


async def test_a_slow_request_holds_no_other_one_up(path: Path) -> None:
    async with serving(path, Slow()) as remote:
        slow = asyncio.create_task(remote.sign_order(plan(salt=1), key=FAY))
        assert await remote.sign_order(plan(salt=2), key=FAY) == b"\x00\x02"
        assert await slow == b"\x00\x01"


async def test_a_bug_is_a_no_and_the_signer_goes_on(path: Path) -> None:
    async with serving(path, Slow()) as remote:
        with pytest.raises(SignerRefused, match=r"The signer failed; its log says how\."):
            await remote.sign_order(plan(salt=13), key=FAY)
        assert await remote.sign_order(plan(salt=2), key=FAY) == b"\x00\x02"


async def test_what_is_being_signed_when_it_stops_is_answered_first(path: Path) -> None:
    signer, stop = Slow(), asyncio.Event()
    served = SignerServer(signer, path)
    running = asyncio.create_task(served.run(stop))
    await served.listening.wait()
    remote = RemoteSigner(path, answer_s=20)
    slow = asyncio.create_task(remote.sign_order(plan(salt=1), key=FAY))
    await signer.came.wait()
    stop.set()
    await asyncio.sleep(0)
    signer.first.set()
    assert await slow == b"\x00\x01"
    await running
    await remote.close()


async def test_a_signer_that_dies_in_the_middle_is_a_no_at_once(path: Path) -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        writer.transport.abort()

    server = await asyncio.start_unix_server(die, path=str(path))
    remote = RemoteSigner(path, answer_s=60)
    answers = await asyncio.gather(
        *(remote.sign_order(plan(salt=number), key=FAY) for number in range(5)), return_exceptions=True
    )
    assert all(isinstance(answer, SignerRefused) for answer in answers)
    assert all("The signer cannot be reached" in str(answer) for answer in answers)
    await remote.close()
    server.close()


@pytest.mark.parametrize("answer", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02{}", b"\x00\x00\x00\x03[1]"])
async def test_an_answer_that_cannot_be_read_is_a_no(path: Path, answer: bytes) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(babble, path=str(path))
    remote = RemoteSigner(path, answer_s=60)
    with pytest.raises(SignerRefused, match="cannot be reached"):
        await remote.sign_order(plan(), key=FAY)
    await remote.close()
    server.close()


async def test_without_an_answer_in_time_it_is_a_no(path: Path) -> None:
    signer = Slow()
    async with serving(path, signer):
        impatient = RemoteSigner(path, answer_s=0.05)
        with pytest.raises(SignerRefused, match=r"did not answer within 0\.05 s"):
            await impatient.sign_order(plan(salt=1), key=FAY)
        signer.first.set()
        await impatient.close()


async def test_without_a_signer_it_is_a_no_and_a_later_one_is_found(path: Path) -> None:
    remote = RemoteSigner(path)
    with pytest.raises(SignerRefused, match="The signer cannot be reached: No such file"):
        await remote.sign_order(plan(), key=FAY)
    async with serving(path):
        assert len(await remote.sign_order(plan(), key=FAY)) == 65
    with pytest.raises(SignerRefused, match="cannot be reached"):
        await remote.sign_order(plan(), key=FAY)
    async with serving(path):
        assert len(await remote.sign_order(plan(), key=FAY)) == 65
    await remote.close()


async def test_only_this_user_may_connect_and_nothing_stays_behind(path: Path) -> None:
    async with serving(path):
        assert modes(path.parent) == {"signer": 0o600, "signer.lock": 0o600}
    assert set(modes(path.parent)) == {"signer.lock"}


async def test_a_second_signer_on_the_same_socket_is_refused_and_the_first_goes_on(path: Path) -> None:
    async with serving(path) as remote:
        with pytest.raises(SocketTaken, match="Another signer listens at"):
            await SignerServer(local_signer(), path).run(asyncio.Event())
        assert len(await remote.sign_order(plan(), key=FAY)) == 65


async def test_what_a_killed_signer_left_is_taken_over(path: Path) -> None:
    leave_socket(path)
    async with serving(path) as remote:
        assert len(await remote.sign_order(plan(), key=FAY)) == 65


async def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    leave_file(path)
    with pytest.raises(SocketTaken, match="no socket; the signer does not replace it"):
        await SignerServer(local_signer(), path).run(asyncio.Event())
    assert modes(path.parent)["signer"] != 0o600


@pytest.mark.parametrize("place", ["no/such/folder/signer", "x" * 120])
async def test_an_impossible_path_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(SocketTaken, match=r"cannot listen at|at most 107 bytes"):
        await SignerServer(local_signer(), tmp_path / place).run(asyncio.Event())


async def asked_raw(path: Path, frame: bytes) -> dict[str, Any] | None:
    """What comes back for these bytes; None when the signer hangs up."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(frame)
        writer.write_eof()
        head = await reader.read(4)
        if not head:
            return None
        told: dict[str, Any] = json.loads(await reader.readexactly(frame_length(head)))
        return told
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def framed(told: object) -> bytes:
    body = json.dumps(told).encode()
    return len(body).to_bytes(4, "big") + body


ORDER = json.loads(request_bytes(Asked(number=1, key=FAY, subject=plan()))[4:])
CALL = json.loads(request_bytes(Asked(number=1, key=FAY, subject=approval()))[4:])


@pytest.mark.parametrize(
    "told",
    [
        {"id": 5, "do": "export", "key": FAY},
        {"id": 5, "do": "sign", "key": FAY, "digest": "00" * 32},
        {"id": 5, "do": "transaction", "key": FAY, "to": FRED},
        {"id": 5, "do": "order", "key": FAY},
        {**CALL, "id": 5, "transaction": {**CALL["transaction"], "accessList": []}},
        {**CALL, "id": 5, "transaction": {**CALL["transaction"], "value_wei": 0}},
        {**CALL, "id": 5, "transaction": {**CALL["transaction"], "gas": -1}},
        {**CALL, "id": 5, "transaction": {**CALL["transaction"], "calldata": "0x"}},
        {**CALL, "id": 5, "do": "order"},
        {**ORDER, "id": 5, "key": 7},
        {**ORDER, "id": 5, "plan": {**ORDER["plan"], "approve": "all"}},
        {**ORDER, "id": 5, "plan": {**ORDER["plan"], "domain": "V4"}},
        {**ORDER, "id": 5, "plan": {**ORDER["plan"], "salt": 12_345}},
        {**ORDER, "id": 5, "plan": {**ORDER["plan"], "salt": "-1"}},
        {**ORDER, "id": 5, "plan": {**ORDER["plan"], "token_id": "9" * 78}},
        {**ORDER, "id": 5, "plan": {**ORDER["plan"], "signature_type": True}},
        {**ORDER, "id": 5, "plan": {**ORDER["plan"], "builder": "zz"}},
        {"id": 5, "do": "login", "key": FAY, "login": {"address": FAY, "timestamp": "now", "nonce": 0}},
        {"id": 5, "do": "login", "key": FAY, "login": {"address": FAY, "timestamp": 10**30, "nonce": 0}},
    ],
)
async def test_every_other_word_is_refused_by_its_number(path: Path, told: dict[str, Any]) -> None:
    async with serving(path):
        answer = await asked_raw(path, framed(told))
    assert answer is not None and set(answer) == {"id", "refused"}
    assert answer["id"] == 5


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00",
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        (FRAME_BYTES_MAX + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x05[[[[[",
        framed([1]),
        framed({"do": "order"}),
        framed({"id": "5"}),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_noise_is_not_answered_and_harms_nobody(path: Path, frame: bytes) -> None:
    async with serving(path) as remote:
        assert await asked_raw(path, frame) is None
        assert len(await remote.sign_order(plan(), key=FAY)) == 65


def test_frames_say_what_was_asked_and_answered() -> None:
    for subject in (plan(), plan_of("0x" + "cc" * 20, whole_cents=True), login(), approval()):
        asked = Asked(number=3, key=FAY, subject=subject)
        assert read_request(request_bytes(asked)[4:]) == asked
    for answered in (Answered(number=4, signature=b"\x01" * 65), Answered(number=5, refused="Because.")):
        assert read_answer(answer_bytes(answered)[4:]) == answered
    assert "0101" not in repr(Answered(number=4, signature=b"\x01" * 65))


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading_of_frames(body: bytes) -> None:
    for read in (read_request, read_answer):
        with suppress(BadFrame):
            read(body)


async def test_who_takes_no_answers_is_hung_up_on_and_others_are_served(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "FRAME_S", 0.1)
    async with serving(path) as remote:
        _reader, writer = await asyncio.open_unix_connection(str(path), limit=1)
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(30):
                while True:
                    writer.write(framed({"id": 1, "do": "export"}) * 500)
                    await writer.drain()
        assert len(await remote.sign_order(plan(), key=FAY)) == 65
        writer.close()


async def test_half_a_frame_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FRAME_S", 0.05)
    async with serving(path):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(framed(ORDER)[:20])
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()
