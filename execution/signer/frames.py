"""The words between an engine and its signer process: a length of four bytes, then JSON. Pure.

    {"id": 7, "do": "order", "key": "0x…", "plan": {…}}     ->  {"id": 7, "signature": "…"}
    {"id": 8, "do": "login", "key": "0x…", "login": {…}}    ->  {"id": 8, "refused": "a sentence"}
    {"id": 9, "do": "transaction", "key": "0x…", "transaction": {…}}

Integers beyond 2^53 go as text. A frame that cannot be read is refused whole; there are no other words.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from execution.eip1559 import Transaction
from execution.orders import ExchangeDomain, OrderPlan, OrderType
from execution.ports import Login
from ledger.units import Side

LENGTH_BYTES = 4
FRAME_BYTES_MAX = 16_384
"""An order has about 1,000."""

Subject = OrderPlan | Login | Transaction
"""What can be asked for."""

_INTEGERS = ("size_micros", "limit_micros", "tick_micros", "maker_amount", "taker_amount", "token_id", "salt")
_WEI = ("max_fee_per_gas", "max_priority_fee_per_gas", "value_wei")
_COUNTS = ("signature_type", "timestamp_ms")
_TEXTS = ("maker", "signer", "order_hash", "book_version", "key")
_BYTES = ("metadata", "builder")
_WORDS: Mapping[str, Callable[[Any], Any]] = {"domain": ExchangeDomain, "side": Side, "order_type": OrderType}


class BadFrame(ValueError):
    """What came is no frame of these; the message names no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request to sign one thing with one key."""

    number: int
    key: str
    subject: Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The signature, or why there is none."""

    number: int
    signature: bytes = b""
    refused: str = ""

    def __repr__(self) -> str:
        # Signed bytes are a bearer instrument.
        return f"<Answered {self.number}: {self.refused or 'signed'}>"


def request_bytes(asked: Asked) -> bytes:
    """A request as a frame."""
    subject = asked.subject
    told: dict[str, Any] = {"id": asked.number, "key": asked.key}
    if isinstance(subject, Login):
        told |= {"do": "login", "login": _values(subject)}
    elif isinstance(subject, Transaction):
        told |= {"do": "transaction", "transaction": _values(subject)}
    else:
        told |= {"do": "order", "plan": _values(subject)}
    return _frame(told)


def answer_bytes(answered: Answered) -> bytes:
    """An answer as a frame."""
    if answered.refused:
        return _frame({"id": answered.number, "refused": answered.refused})
    return _frame({"id": answered.number, "signature": answered.signature.hex()})


def frame_length(head: bytes) -> int:
    """How many bytes follow a frame's first four. Raises BadFrame."""
    length = int.from_bytes(head, "big")
    if not 0 < length <= FRAME_BYTES_MAX:
        raise BadFrame(f"A frame has 1 to {FRAME_BYTES_MAX} bytes.")
    return length


def read_request(body: bytes) -> Asked | Answered:
    """What is asked for, or the refusal of what cannot be read but has a number. Raises BadFrame without one."""
    told = _object(body)
    number = _count(told, "id")
    try:
        return Asked(number=number, key=_text(told, "key"), subject=_subject(told))
    except BadFrame as error:
        return Answered(number=number, refused=str(error))


def _subject(told: dict[str, Any]) -> Subject:
    if told.get("do") == "login":
        login = _part(told, "login")
        return Login(
            address=_text(login, "address"), timestamp=_count(login, "timestamp"), nonce=_count(login, "nonce")
        )
    if told.get("do") == "order":
        return _plan(_part(told, "plan"))
    if told.get("do") == "transaction":
        return _transaction(_part(told, "transaction"))
    raise BadFrame("This signer signs orders, logins and transactions, and does nothing else.")


def read_answer(body: bytes) -> Answered:
    """Raises BadFrame."""
    told = _object(body)
    if "refused" in told:
        return Answered(number=_count(told, "id"), refused=_text(told, "refused") or "It gave no reason.")
    signature = _hex(told, "signature")
    if not signature:
        raise BadFrame("An answer holds a signature or a reason.")
    return Answered(number=_count(told, "id"), signature=signature)


def _plan(told: dict[str, Any]) -> OrderPlan:
    if set(told) != {field.name for field in fields(OrderPlan)}:
        raise BadFrame("The order has not the fields of an order.")
    values: dict[str, Any] = {name: _integer(told, name) for name in _INTEGERS}
    values |= {name: _count(told, name) for name in _COUNTS}
    values |= {name: _text(told, name) for name in _TEXTS}
    values |= {name: _hex(told, name) for name in _BYTES}
    try:
        words = {name: word(told[name]) for name, word in _WORDS.items()}
    except ValueError:
        raise BadFrame("The order's domain, side or type is unknown.") from None
    return OrderPlan(**values, **words)


def _transaction(told: dict[str, Any]) -> Transaction:
    if set(told) != {field.name for field in fields(Transaction)}:
        raise BadFrame("The transaction has not the fields of a transaction.")
    values: dict[str, Any] = {name: _integer(told, name) for name in _WEI}
    values |= {name: _count(told, name) for name in ("chain_id", "nonce", "gas")}
    values |= {name: _text(told, name) for name in ("to", "digest")}
    return Transaction(**values, calldata=_hex(told, "calldata"))


def _values(subject: Subject) -> dict[str, Any]:
    return {field.name: _value(field.name, getattr(subject, field.name)) for field in fields(subject)}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if name in _INTEGERS or name in _WEI else value


def _frame(told: dict[str, Any]) -> bytes:
    body = json.dumps(told, separators=(",", ":")).encode()
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise BadFrame("The frame is no JSON.") from None
    if not isinstance(told, dict):
        raise BadFrame("The frame is no JSON object.")
    return told


def _part(told: dict[str, Any], name: str) -> dict[str, Any]:
    part = told.get(name)
    if not isinstance(part, dict):
        raise BadFrame(f"The field {name} is missing.")
    return part


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str):
        raise BadFrame(f"The field {name} is no text.")
    return value


def _count(told: dict[str, Any], name: str) -> int:
    value = told.get(name)
    if type(value) is not int or value < 0:
        raise BadFrame(f"The field {name} is no count.")
    return value


def _integer(told: dict[str, Any], name: str) -> int:
    text = _text(told, name)
    if not text.isascii() or not text.isdecimal() or len(text) > 78:
        raise BadFrame(f"The field {name} is no integer of at most 256 bits.")
    return int(text)


def _hex(told: dict[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(_text(told, name))
    except ValueError:
        raise BadFrame(f"The field {name} is not hexadecimal.") from None
