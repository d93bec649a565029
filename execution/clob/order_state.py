"""One order as the venue shows it: a row of `/data/order`, or an event of the user channel. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from execution.clob.numbers import NumberError, micros_of
from ledger.units import Micros

PREFIX = "ORDER_STATUS_"
GONE = "CANCEL"
"""How every status of a cancelled order begins; one of them goes on with the sentence of the refusal."""

_HASH = re.compile(r"0x[0-9a-f]{64}")


class OrderStateError(ValueError):
    """This is no order that could be ours; the message is a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderShown:
    """What is shown of one order: what was matched of it, whether some of it still rests or waits, or it is dead.

    `dead`: cancelled, killed or (`invalid`) refused; what was matched of it before stays matched.
    """

    order_hash: str
    matched_micros: Micros
    rests: bool
    dead: bool = False
    invalid: bool = False


def read_order(row: Mapping[str, object]) -> OrderShown:
    """Read one row or event; a status that is new to us counts as resting. Raises OrderStateError."""
    order_hash = str(row.get("id") or "").lower()
    if not _HASH.fullmatch(order_hash):
        raise OrderStateError("An order has no hash.")
    try:
        matched = micros_of(row.get("size_matched") or "0")
    except NumberError as error:
        raise OrderStateError(f"The matched size of an order cannot be read: {error}") from None
    status = str(row.get("status") or "").strip().upper().removeprefix(PREFIX)
    invalid = status == "INVALID"
    gone = status.startswith(GONE) or str(row.get("type") or "").upper() == "CANCELLATION"
    return OrderShown(
        order_hash=order_hash,
        matched_micros=matched,
        rests=not (invalid or gone or status == "MATCHED"),
        dead=invalid or gone,
        invalid=invalid,
    )
