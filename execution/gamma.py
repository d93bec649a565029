"""Reads the venue's own description of a market, one decoded object of its Gamma interface. Pure.

Numbers must come as text, `int` or `Decimal`: a float has lost digits and is refused. Fields and their quirks:
shared/reference/polymarket.md sections 0, 2.6 and 5.3. What an object leaves out stays unknown, and is no error.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from execution.fees import NO_FEE, FeeTerms, FeeTermsError
from ledger.units import BPS, ONE, AmountError, Micros, micros_from_decimal, micros_from_text

TICKS = frozenset({100_000, 10_000, 5_000, 2_500, 1_000, 100})
"""Tick sizes of the venue in micros; prices on any other cannot be signed."""

VERSION_OF_CONDITIONS, VERSION_OF_POSITIONS = "v1", "v2"
"""The first has its tokens in `clobTokenIds`, the second in `positionIds`; 35 % of the first carry that field too, so
it says nothing itself."""

VERSION_MAX, TITLE_MAX, SLUG_MAX, OUTCOME_MAX, CATEGORY_MAX = 8, 300, 200, 100, 80
"""Longest texts that a row holds. Longer ones are cut, but for the version, which decides what is signed."""

VERSION_UNREADABLE = "?"
"""Stands for a version that is no short text: cut or guessed it could become the name of another order domain."""

LIST_TEXT_MAX = 10_000
"""Longest list inside a text: two tokens need 170 characters, and the decoder is not asked about a bomb."""

ECHO_MAX = 40
"""How many characters of the input a sentence may repeat."""

INTEGER_BITS_MAX = 256
"""A larger integer is no amount, and only costs time to show."""

_CONDITION = re.compile(r"0x[0-9a-fA-F]{64}")
_TOKEN = re.compile(r"[0-9]{1,78}")
_TOKENS_END = 2**256
_DAY_ONLY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class GammaError(ValueError):
    """The object is no usable description; the message names the field and what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketDescription:
    """What the venue says about one market; None and empty texts are what it does not say.

    `fee_withheld`: it says that there is a fee, but not which.
    """

    condition_id: str
    version: str = ""
    title: str = ""
    slug: str = ""
    category: str = ""
    tokens: tuple[int, int] | None = None
    outcomes: tuple[str, str] | None = None
    prices_micros: tuple[Micros, Micros] | None = None
    neg_risk: bool | None = None
    accepting_orders: bool | None = None
    closed: bool | None = None
    ends_at: datetime | None = None
    tick_micros: Micros | None = None
    min_size_micros: Micros | None = None
    fee: FeeTerms | None = None
    fee_withheld: bool = False
    liquidity_micros: Micros | None = None
    volume_micros: Micros | None = None

    @property
    def is_complete(self) -> bool:
        """Whether it says all that an order with real money needs (`preflight.ORDER_FACTS`)."""
        return bool(self.version) and None not in (self.neg_risk, self.tick_micros, self.fee)


def describe_market(value: object, *, event: object = None) -> MarketDescription:
    """Read one market object; `event` is the event that it was found in, where it does not name one itself.

    A recorder's line with the object under `raw` is read as that object. Amounts are rounded to micros, half to
    even, which only removes noise digits; a fee rate is rounded up to a basis point. Raises GammaError.
    """
    row = value.get("raw", value) if isinstance(value, Mapping) else value
    if not isinstance(row, Mapping):
        raise GammaError(f"The market is {_shown(row)} and no object.")
    version, fee = _version(row), _fee(row)
    return MarketDescription(
        condition_id=_condition_id(row),
        version=version,
        title=_text(row.get("question"), TITLE_MAX),
        slug=_text(row.get("slug"), SLUG_MAX),
        category=_category(row, event),
        tokens=_tokens(row, version),
        outcomes=_outcomes(row),
        prices_micros=_prices(row),
        neg_risk=_flag(row, "negRisk"),
        accepting_orders=_accepting_orders(row),
        closed=_flag(row, "closed"),
        ends_at=_ends_at(row),
        tick_micros=_tick(row),
        min_size_micros=_amount(row, "orderMinSize"),
        fee=fee,
        fee_withheld=fee is None and _flag(row, "feesEnabled") is True,
        # The texts are exact; in 2024 the numbers beside them were rounded to cents.
        liquidity_micros=_amount(row, "liquidity", "liquidityNum"),
        volume_micros=_amount(row, "volume", "volumeNum"),
    )


def completed(said: MarketDescription, more: MarketDescription) -> MarketDescription:
    """A description with the order's facts that it leaves out as another one says them."""
    if not said.version and more.version not in ("", VERSION_OF_CONDITIONS):
        # Its tokens were read as those of the older version.
        return more
    return replace(
        said,
        version=said.version or more.version,
        neg_risk=more.neg_risk if said.neg_risk is None else said.neg_risk,
        tick_micros=more.tick_micros if said.tick_micros is None else said.tick_micros,
        fee=more.fee if said.fee is None else said.fee,
        fee_withheld=said.fee_withheld and more.fee is None,
    )


def _condition_id(row: Mapping[object, object]) -> str:
    found = row.get("conditionId")
    if not isinstance(found, str) or not _CONDITION.fullmatch(found):
        raise GammaError(f"conditionId {_shown(found)} is not 0x and 64 hexadecimal digits.")
    return found.lower()


def _version(row: Mapping[object, object]) -> str:
    found = row.get("version")
    if found is None:
        return ""
    if not isinstance(found, str) or not found.isprintable() or len(found) > VERSION_MAX:
        return VERSION_UNREADABLE
    return found


def _category(row: Mapping[object, object], event: object) -> str:
    """The first that is there: the market's category, its event's, the market's first tag, its event's first tag."""
    events = row.get("events")
    own = events[0] if isinstance(events, Sequence) and not isinstance(events, str) and events else event
    of_event: Mapping[object, object] = own if isinstance(own, Mapping) else {}
    candidates = (row.get("category"), of_event.get("category"), *_labels(row), *_labels(of_event))
    texts = (_text(candidate, CATEGORY_MAX) for candidate in candidates)
    return next((text for text in texts if text), "")


def _labels(row: Mapping[object, object]) -> Iterable[object]:
    tags = row.get("tags")
    for tag in tags if isinstance(tags, list | tuple) else ():
        yield tag.get("label") if isinstance(tag, Mapping) else tag


def _tokens(row: Mapping[object, object], version: str) -> tuple[int, int] | None:
    field = "positionIds" if version == VERSION_OF_POSITIONS else "clobTokenIds"
    found = _pair(row, field)
    if found is None:
        return None
    for each in found:
        if not isinstance(each, str) or not _TOKEN.fullmatch(each) or int(each) >= _TOKENS_END:
            raise GammaError(f"{field} holds {_shown(each)}, which is no token id.")
    first, second = (int(str(each)) for each in found)
    if first == second:
        raise GammaError(f"{field} names the same token twice.")
    return first, second


def _outcomes(row: Mapping[object, object]) -> tuple[str, str] | None:
    found = _pair(row, "outcomes")
    return None if found is None else (_text(found[0], OUTCOME_MAX), _text(found[1], OUTCOME_MAX))


def _prices(row: Mapping[object, object]) -> tuple[Micros, Micros] | None:
    found = _pair(row, "outcomePrices")
    if found is None:
        return None
    first, second = (_micros(each, "outcomePrices") for each in found)
    for price in (first, second):
        if price > ONE:
            raise GammaError("outcomePrices holds a price above 1.")
    return first, second


def _pair(row: Mapping[object, object], field: str) -> tuple[object, object] | None:
    """The two entries of a list that the venue writes as JSON inside a text; also of a plain list."""
    found = row.get(field)
    if isinstance(found, str) and found.strip():
        found = _decoded(found, field)
    if found is None or found in ("", []):
        return None
    if not isinstance(found, list) or len(found) != 2:
        raise GammaError(
            f"{field} {_shown(row.get(field))} is no list of two; only markets with two outcomes are known."
        )
    return found[0], found[1]


def _decoded(text: str, field: str) -> object:
    # A flat list is all that is known here; anything nested is refused before it is decoded.
    if len(text) <= LIST_TEXT_MAX and text.count("[") <= 1 and "{" not in text:
        try:
            return json.loads(text, parse_float=Decimal, parse_int=str)
        except ValueError:
            pass
    raise GammaError(f"{field} {_shown(text)} is no JSON list of texts.")


def _flag(row: Mapping[object, object], field: str) -> bool | None:
    found = row.get(field)
    if found is None or isinstance(found, bool):
        return found
    raise GammaError(f"{field} {_shown(found)} is neither true nor false.")


def _accepting_orders(row: Mapping[object, object]) -> bool | None:
    """Whether it takes orders: what it says itself, unless it has no order book, is inactive or archived."""
    if _flag(row, "enableOrderBook") is False or _flag(row, "active") is False or _flag(row, "archived"):
        return False
    return _flag(row, "acceptingOrders")


def _ends_at(row: Mapping[object, object]) -> datetime | None:
    field = "endDate" if row.get("endDate") else "endDateIso"
    found = row.get(field)
    if found is None or found == "":
        return None
    try:
        if not isinstance(found, str):
            raise ValueError
        moment = datetime.fromisoformat(found.strip())
        aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        # A bare day lasts until its end.
        return aware + timedelta(days=1) if _DAY_ONLY.fullmatch(found.strip()) else aware
    except (ValueError, OverflowError):
        raise GammaError(f"{field} {_shown(found)} is no date.") from None


def _tick(row: Mapping[object, object]) -> Micros | None:
    tick = _amount(row, "orderPriceMinTickSize")
    if tick is not None and tick not in TICKS:
        found = row.get("orderPriceMinTickSize")
        raise GammaError(f"orderPriceMinTickSize {_shown(found)} is none of the venue's tick sizes.")
    return tick


def _fee(row: Mapping[object, object]) -> FeeTerms | None:
    """The taker fee. `makerBaseFee` and `takerBaseFee` are legacy and mean nothing (polymarket.md 2.6)."""
    enabled, schedule = _flag(row, "feesEnabled"), row.get("feeSchedule")
    if enabled is False:
        return NO_FEE
    if schedule is None:
        return None
    if not isinstance(schedule, Mapping):
        raise GammaError(f"feeSchedule is {_shown(schedule)} and no object.")
    rate, exponent = (_micros(schedule.get(name), f"feeSchedule.{name}") for name in ("rate", "exponent"))
    if exponent % ONE:
        raise GammaError(f"feeSchedule.exponent {_shown(schedule.get('exponent'))} is no whole number.")
    try:
        # A part of a basis point counts as a whole one: a reservation never understates the fee.
        return FeeTerms(rate_bps=-(-rate * BPS // ONE), exponent=exponent // ONE)
    except FeeTermsError as error:
        raise GammaError(f"feeSchedule: {error}") from None


def _amount(row: Mapping[object, object], *fields: str) -> Micros | None:
    """The first of these fields that holds something, in micros."""
    for field in fields:
        found = row.get(field)
        if found is not None and found != "":
            return _micros(found, field)
    return None


def _micros(value: object, field: str) -> Micros:
    try:
        micros = micros_from_text(value) if isinstance(value, str) else micros_from_decimal(_decimal(value))
    except AmountError:
        raise GammaError(f"{field} {_shown(value)} is no usable number.") from None
    if micros < 0:
        raise GammaError(f"{field} {_shown(value)} is below zero.")
    return micros


def _decimal(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= INTEGER_BITS_MAX:
        return Decimal(value)
    raise AmountError("not a number")


def _text(value: object, length_max: int) -> str:
    """Foreign text fit for a row and a page: no control, bidirectional or surrogate characters, cut."""
    if not isinstance(value, str):
        return ""
    text = "".join(c if c.isprintable() else " " if c.isspace() else "" for c in value[: 2 * length_max])
    return text.strip()[:length_max]


def _shown(value: object) -> str:
    if value is None:
        return "(missing)"
    if isinstance(value, str):
        return f"'{_text(value, ECHO_MAX)}'"
    if isinstance(value, Mapping):
        return "(an object)"
    if isinstance(value, list | tuple):
        return "(a list)"
    huge = isinstance(value, int) and value.bit_length() > INTEGER_BITS_MAX
    return "(a huge integer)" if huge else _text(f"{value}", ECHO_MAX)
