"""What the venue's answer to an order means: one table of its statuses and texts. Pure.

Accepted, definitely refused, provably not looked at, or unknown. What is not in the table is unknown: the order may
stand, and is asked about by its hash. Source: shared/reference/polymarket.md sections 3.3 and 3.4, reliability.md 1.2.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from execution.clob.numbers import NumberError, micros_of
from execution.orders import OrderPlan, OrderType
from execution.ports import HoldUp, NotTaken, Rejected, RejectReason, Resting, Unknown
from execution.wire import WireError, decode
from ledger.units import Side

WAIT_MIN_S, WAIT_MAX_S = 0.1, 300.0
"""Whatever pause the venue asks for: a shorter one would only make a circle, after a longer one it is asked again."""

RESTARTING_S, TOO_MANY_S, CLOSED_S = 1.5, 1.0, 5.0
"""Pauses when the venue names none: the weekly restart takes 90 s and asks for 1 to 2 s between tries."""

TOO_EARLY, TOO_MANY, UNAVAILABLE = 425, 429, 503
OK, BAD_REQUEST, UNAUTHORISED, FORBIDDEN, SERVER_ERROR = 200, 400, 401, 403, 500

DETAIL_MAX = 200
"""Letters of a foreign sentence that go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """The venue says that the order was killed without a fill; some of those had been filled, so its trades decide."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAlready:
    """The venue has had these very bytes before: an earlier attempt was accepted, and is to be looked up."""


Reading = Resting | Rejected | Unknown | NotTaken | Killed | KnownAlready

_ACCOUNT, _BALANCE, _CLOSED = RejectReason.ACCOUNT_REFUSED, RejectReason.NOT_ENOUGH_BALANCE, RejectReason.MARKET_CLOSED

DELAYED = "order match delayed due to market conditions"
"""The order waits for its match and is followed; beside an empty id nothing waits."""

TEXTS: tuple[tuple[str, Reading], ...] = (
    # The order matters: the first text that the answer contains decides.
    (DELAYED, Resting(matched=False)),
    ("is invalid. duplicated", KnownAlready()),
    ("fok orders are fully filled or killed", Killed(detail="fully filled or killed")),
    *(
        (text, Rejected(reason=reason, detail=text))
        for text, reason in (
            ("no orders found to match with fak order", RejectReason.NO_FILL),
            ("breaks minimum tick size rule", RejectReason.OFF_TICK),
            ("order_version_mismatch", RejectReason.WRONG_VERSION),
            ("invalid order version", RejectReason.WRONG_VERSION),
            ("lower than the minimum", RejectReason.BELOW_MINIMUM),
            ("invalid amount for a marketable buy order", RejectReason.BELOW_MINIMUM),
            ("invalid amount for a marketable sell order", RejectReason.BELOW_MINIMUM),
            ("not enough balance / allowance", _BALANCE),
            ("the market is not yet ready to process new orders", _CLOSED),
            ("no orderbook exists", _CLOSED),
            ("market is closed", _CLOSED),
            ("the order signer address has to be the address of the api key", _ACCOUNT),
            ("the order owner has to be the owner of the api key", _ACCOUNT),
            ("maker address not allowed", _ACCOUNT),
            ("address banned", _ACCOUNT),
            ("closed only mode", _ACCOUNT),
            ("unauthorized/invalid api key", _ACCOUNT),
            ("invalid signature", RejectReason.REJECTED),
            ("invalid amounts", RejectReason.REJECTED),
            ("invalid post-only order", RejectReason.REJECTED),
            ("invalid expiration", RejectReason.REJECTED),
            ("invalid nonce", RejectReason.REJECTED),
            ("invalid order payload", RejectReason.REJECTED),
            ("too many orders in payload", RejectReason.REJECTED),
        )
    ),
)
"""By a part of the text in lower case. Every refusal in here is definite: nothing of the order stands or will stand."""

AMBIGUOUS_TEXTS: tuple[str, ...] = ("could not run the execution", "timed out", "timeout", "internal server error")
"""What the venue says when it lost track of an order itself; whatever else the answer says, it is asked about."""

NOT_TAKEN_TEXTS: tuple[str, ...] = (
    "post-only mode",
    "post_only_mode",
    "cancel-only",
    "trading is currently disabled",
    "matching engine restarting",
    "service not ready",
)
"""States of the whole venue in which it looks at no order."""

_ORDER_IS_INVALID = re.compile(r"order \S+ is invalid\b")
_LONG = re.compile(r"[\w+/=-]{30,}")
_UNSEEN = re.compile(r"[^\x20-\x7e]+")


def read_order_answer(
    status: int, body: bytes, *, headers: Mapping[str, str], plan: OrderPlan, now_s: float
) -> Reading:
    """What the answer to `POST /order` means for this plan. Never raises, whatever the bytes are."""
    if status == TOO_MANY:
        return _not_taken(HoldUp.RATE_LIMITED, pause_s(headers, None, now_s=now_s), usual_s=TOO_MANY_S)
    value = _decoded(body)
    if status == TOO_EARLY:
        return _not_taken(HoldUp.UNAVAILABLE, pause_s(headers, value, now_s=now_s), usual_s=RESTARTING_S)
    if status == UNAUTHORISED:
        return Rejected(reason=_ACCOUNT, detail="The credentials were refused.")
    text = _sentence(value, body)
    if status == UNAVAILABLE or BAD_REQUEST <= status < SERVER_ERROR:
        if any(known in text.lower() for known in NOT_TAKEN_TEXTS):
            return _not_taken(
                HoldUp.UNAVAILABLE, pause_s(headers, value, now_s=now_s), usual_s=CLOSED_S, detail=shown(text)
            )
        if status == FORBIDDEN:
            return _definite(text) or Rejected(reason=RejectReason.BLOCKED, detail="This address is blocked.")
    if status == OK:
        return _accepted(value, plan)
    if BAD_REQUEST <= status < SERVER_ERROR:
        return _definite(text) or Unknown(detail=f"It answered {status}: {shown(text)}")
    return Unknown(detail=f"It answered {status}.")


def pause_s(headers: Mapping[str, str], value: object, *, now_s: float) -> float | None:
    """The pause that an answer asks for, in its header or its body; None without a readable one, never above a bound.

    `now_s` is the time of day in seconds since 1970, for a header that names a date.
    """
    asked = _seconds(headers.get("retry-after", ""))
    if asked is None and "retry-after" in headers:
        try:
            named = parsedate_to_datetime(headers["retry-after"])
            # A date without a zone is one of Greenwich, wherever this machine stands.
            asked = (named if named.tzinfo else named.replace(tzinfo=UTC)).timestamp() - now_s
        except (ValueError, OverflowError):
            asked = None
    if asked is None and isinstance(value, Mapping):
        asked = _seconds(value.get("retry_after_seconds"))
    return None if asked is None else min(max(asked, WAIT_MIN_S), WAIT_MAX_S)


def shown(text: str) -> str:
    """A foreign sentence that may be kept: short, printable, and without anything long enough to be a secret."""
    return _LONG.sub("…", _UNSEEN.sub(" ", text))[:DETAIL_MAX]


def _accepted(value: object, plan: OrderPlan) -> Reading:
    """An answer 200: only what says so in every field is accepted."""
    if not isinstance(value, Mapping) or "success" not in value:
        return Unknown(detail="It answered 200 with something else than an order.")
    order_id, text = value.get("orderID") or "", value.get("errorMsg") or ""
    if not isinstance(order_id, str) or not isinstance(text, str):
        return Unknown(detail="It answered 200 with something else than an order.")
    known = _definite(text)
    if not order_id:
        return _unnamed(value, text) if known is None or isinstance(known, Resting) else known
    if order_id.lower() != plan.order_hash:
        return Unknown(detail="It answered with another order's hash.")
    if text and not isinstance(known, Resting):
        return Unknown(detail=f"Order and error at once: {shown(text)}")
    if value.get("success") is not True:
        return Unknown(detail="It names the order and no success.")
    return known or _standing(value, plan)


def _unnamed(value: Mapping[object, object], text: str) -> Reading:
    """A refused order of a batch says success and leaves its name empty (polymarket.md 3.3); others have the field.

    A text of delay does not make it an order: there is nothing to follow. Without success it may yet be one.
    """
    if "orderID" not in value:
        return Unknown(detail="It answered 200 without the field that names the order.")
    if value.get("success") is not True and DELAYED in text.lower():
        return Unknown(detail=f"It is delayed, without success or name: {shown(text)}")
    return Rejected(reason=RejectReason.REJECTED, detail=shown(text) or "No order was made.")


def _standing(value: Mapping[object, object], plan: OrderPlan) -> Reading:
    status = str(value.get("status") or "").lower()
    at_once = plan.order_type in (OrderType.FAK, OrderType.FOK)
    if status in ("live", "delayed"):
        return Resting(matched=False)
    if status == "unmatched":
        return Killed(detail="unmatched") if at_once else Resting(matched=False)
    if status != "matched":
        return Unknown(detail=f"The status {shown(status)!r} is unknown.")
    try:
        making, taking = (micros_of(value.get(name) or "0") for name in ("makingAmount", "takingAmount"))
    except NumberError:
        return Unknown(detail="The matched amounts cannot be read.")
    shares, money = (taking, making) if plan.side is Side.BUY else (making, taking)
    if shares > plan.size_micros or (plan.side is Side.BUY and money > plan.maker_amount):
        return Unknown(detail="It matched more than was ordered.")
    return Resting(matched=True, matched_micros=shares, final=at_once)


def _definite(text: str) -> Reading | None:
    lower = text.lower()
    if any(known in lower for known in AMBIGUOUS_TEXTS):
        return Unknown(detail=shown(text))
    for known, meaning in TEXTS:
        if known in lower:
            return meaning
    return Rejected(reason=RejectReason.REJECTED, detail=shown(text)) if _ORDER_IS_INVALID.search(lower) else None


def _not_taken(why: HoldUp, asked_s: float | None, *, usual_s: float, detail: str = "") -> NotTaken:
    return NotTaken(why=why, wait_s=usual_s if asked_s is None else asked_s, detail=detail)


def _decoded(body: bytes) -> object:
    try:
        return decode(body)
    except WireError:
        return None


def _sentence(value: object, body: bytes) -> str:
    """The text of an error: a field of the object, a JSON text, or a bare line; of a page of HTML nothing."""
    if isinstance(value, Mapping):
        parts = (value.get(name) for name in ("error", "errorMsg", "code"))
        return " ".join(part for part in parts if isinstance(part, str))
    if isinstance(value, str):
        return value
    text = body[: DETAIL_MAX * 4].decode("utf-8", "replace")
    return "" if value is not None or text.lstrip().startswith(("<", "{", "[")) else text


def _seconds(value: object) -> float | None:
    text = str(value).strip()
    return float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text, re.ASCII) else None
