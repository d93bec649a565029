"""Whatever a frame says: it is signed as the policy allows, or refused, and never a way to break the signer."""

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from execution.approvals import needed_approvals, read_approval
from execution.deployments import PUBLISHED
from execution.eip1559 import Transaction, signing_hash
from execution.orders import OrderPlan, order_digest
from execution.ports import Login, SignerRefused
from execution.signer.frames import Answered, Asked, BadFrame, answer_bytes, read_answer, read_request, request_bytes
from tests.execution.signers import (
    ACCOUNTS,
    DEPOSIT,
    FAY,
    FRED,
    PROXY,
    SAFE,
    SENT_MS,
    SESSION,
    approval,
    local_signer,
    login,
    plan,
    plan_of,
    policy,
)

SUBJECTS = (
    plan(),
    plan_of(DEPOSIT),
    plan_of(PROXY),
    plan_of(FRED, whole_cents=True),
    login(),
    login(SESSION),
    approval(),
)

ODD: tuple[Any, ...] = (
    *(FAY, FRED, PROXY, SAFE, DEPOSIT, SESSION, FAY.upper(), FAY.replace("0x", "0X"), "0x", "\ud800", "\x00", "²"),
    *("BUY", "SELL", "V3", "GTC", "0", "-1", "1", "10000", "0" * 78, "9" * 78, "00" * 32, "ab" * 32, "0x" + "00" * 32),
    *(0, 1, 2, 3, -1, 1 << 53, 10**40, True, 1.5, float("nan"), None, [], {}, SENT_MS, SENT_MS + 1),
)
values = st.sampled_from(ODD) | st.text(max_size=3) | st.integers() | st.lists(st.none(), max_size=1)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A request of which a field or two are others, or are not there."""
    told = json.loads(request_bytes(Asked(number=1, key=FAY, subject=draw(st.sampled_from(SUBJECTS))))[4:])
    told["key"] = draw(st.sampled_from([FAY, FRED, SESSION]))
    part = next(told[name] for name in ("plan", "login", "transaction") if name in told)
    for place in draw(st.lists(st.sampled_from([told, part, part]), max_size=2)):
        name = draw(st.sampled_from(sorted({"id", "do", *place})))
        if draw(st.booleans()):
            place[name] = draw(values)
        else:
            place.pop(name, None)
    return json.dumps(told).encode()


def answer_to(frame: bytes) -> tuple[Asked | None, bytes]:
    """What was asked, and the signature; empty where there is none."""
    try:
        asked = read_request(frame)
    except BadFrame:
        return None, b""
    if isinstance(asked, Answered):
        assert read_answer(answer_bytes(asked)[4:]) == asked
        return None, b""
    try:
        return asked, asyncio.run(signed(asked))
    except SignerRefused as refused:
        assert answer_bytes(Answered(number=asked.number, refused=str(refused)))
        return asked, b""


async def signed(asked: Asked) -> bytes:
    if isinstance(asked.subject, Login):
        return await local_signer().sign_login(asked.subject, key=asked.key)
    if isinstance(asked.subject, Transaction):
        return await local_signer().sign_transaction(asked.subject, key=asked.key)
    return await local_signer().sign_order(asked.subject, key=asked.key)


@given(frames())
def test_every_frame_is_signed_or_refused_and_raises_nothing_else(frame: bytes) -> None:
    asked, signature = answer_to(frame)
    if asked is not None and signature and isinstance(asked.subject, OrderPlan):
        order = asked.subject
        account = ACCOUNTS[order.maker.lower()]
        assert (asked.key.lower(), order.signature_type) == (account.signer, account.signature_type)
        assert order.order_hash == "0x" + order_digest(order).hex()
        assert order.side == "SELL" or order.maker_amount <= policy().max_order_micros
    if asked is not None and signature and isinstance(asked.subject, Transaction):
        sent = asked.subject
        assert asked.key.lower() in (FAY, FRED)
        assert (sent.chain_id, sent.value_wei, sent.digest) == (137, 0, "0x" + signing_hash(sent).hex())
        assert read_approval(sent.to, sent.calldata) in needed_approvals(PUBLISHED[137], amount=10).values()
