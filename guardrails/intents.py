"""All that a rule may look at and all that it may answer. Pure values."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from ledger.units import Micros, Side, text_from_micros


class Unit(StrEnum):
    """What a refusal's value and limit are counted in."""

    SHARES = "shares"
    MONEY = "money"
    PRICE = "price"
    BPS = "bps"
    SECONDS = "seconds"
    DAYS = "days"
    COUNT = "count"
    NONE = ""


class Reason(StrEnum):
    """Why a signal was not copied, or a note on how it was."""

    # Sizing
    BELOW_MINIMUM = "BELOW_MINIMUM"
    ACCUMULATED = "ACCUMULATED"
    ALREADY_COPIED = "ALREADY_COPIED"
    NOTHING_TO_SELL = "NOTHING_TO_SELL"
    LEADER_POSITION_UNKNOWN = "LEADER_POSITION_UNKNOWN"
    # Filters
    SIDE_FILTERED = "SIDE_FILTERED"
    BELOW_TRIGGER = "BELOW_TRIGGER"
    MAX_ODDS = "MAX_ODDS"
    STALE_SIGNAL = "STALE_SIGNAL"
    SOLD_ALREADY = "SOLD_ALREADY"
    BEFORE_FOLLOW = "BEFORE_FOLLOW"
    MAX_DAYS_OUT = "MAX_DAYS_OUT"
    MIN_LIQUIDITY = "MIN_LIQUIDITY"
    MIN_VOLUME = "MIN_VOLUME"
    CATEGORY_FILTERED = "CATEGORY_FILTERED"
    KEYWORD_FILTERED = "KEYWORD_FILTERED"
    MAX_PER_MARKET = "MAX_PER_MARKET"
    FACT_MISSING = "FACT_MISSING"
    # Stops
    TAKE_PROFIT = "TAKE_PROFIT"
    STOP_LOSS = "STOP_LOSS"
    MAX_DRAWDOWN = "MAX_DRAWDOWN"
    EXIT_GIVEN_UP = "EXIT_GIVEN_UP"
    # Guardrails
    GLOBAL_PAUSE = "GLOBAL_PAUSE"
    FOLLOWER_PAUSED = "FOLLOWER_PAUSED"
    LEADER_PAUSED = "LEADER_PAUSED"
    MARKET_PAUSED = "MARKET_PAUSED"
    BREAKER_OPEN = "BREAKER_OPEN"
    NOT_ALLOWED = "NOT_ALLOWED"
    MAX_PER_TRADE = "MAX_PER_TRADE"
    DRY_RUN = "DRY_RUN"
    # Pricing and preflight
    PRICE_DEVIATION = "PRICE_DEVIATION"
    PRICE_OUT_OF_RANGE = "PRICE_OUT_OF_RANGE"
    NO_LIQUIDITY = "NO_LIQUIDITY"
    ORDER_IMPOSSIBLE = "ORDER_IMPOSSIBLE"
    MARKET_CLOSED = "MARKET_CLOSED"
    UNKNOWN_MARKET_VERSION = "UNKNOWN_MARKET_VERSION"
    MODE_UNAVAILABLE = "MODE_UNAVAILABLE"
    NOT_ENOUGH_CASH = "NOT_ENOUGH_CASH"
    FEE_TOO_HIGH = "FEE_TOO_HIGH"
    FALLBACK_PRICE = "FALLBACK_PRICE"
    # Accounts
    ACCOUNT_NOT_READY = "ACCOUNT_NOT_READY"
    ACCOUNT_STOPPED = "ACCOUNT_STOPPED"
    BALANCE_UNKNOWN = "BALANCE_UNKNOWN"
    ALLOWANCE_MISSING = "ALLOWANCE_MISSING"
    RATE_LIMITED = "RATE_LIMITED"
    WAITED_FOR_BUY = "WAITED_FOR_BUY"
    # Budgets
    FOLLOWER_HOURLY_LIMIT = "FOLLOWER_HOURLY_LIMIT"
    FOLLOWER_DAILY_LIMIT = "FOLLOWER_DAILY_LIMIT"
    FOLLOWER_HOURLY_COUNT = "FOLLOWER_HOURLY_COUNT"
    FOLLOWER_DAILY_COUNT = "FOLLOWER_DAILY_COUNT"
    LEADER_HOURLY_LIMIT = "LEADER_HOURLY_LIMIT"
    LEADER_DAILY_LIMIT = "LEADER_DAILY_LIMIT"
    LEADER_HOURLY_COUNT = "LEADER_HOURLY_COUNT"
    LEADER_DAILY_COUNT = "LEADER_DAILY_COUNT"
    MARKET_HOURLY_LIMIT = "MARKET_HOURLY_LIMIT"
    MARKET_DAILY_LIMIT = "MARKET_DAILY_LIMIT"
    MARKET_HOURLY_COUNT = "MARKET_HOURLY_COUNT"
    MARKET_DAILY_COUNT = "MARKET_DAILY_COUNT"
    GLOBAL_HOURLY_LIMIT = "GLOBAL_HOURLY_LIMIT"
    GLOBAL_DAILY_LIMIT = "GLOBAL_DAILY_LIMIT"
    GLOBAL_HOURLY_COUNT = "GLOBAL_HOURLY_COUNT"
    GLOBAL_DAILY_COUNT = "GLOBAL_DAILY_COUNT"
    # After the prewrite
    PAUSED_BEFORE_SEND = "PAUSED_BEFORE_SEND"
    TOO_LATE_TO_SEND = "TOO_LATE_TO_SEND"
    REJECTED = "REJECTED"
    NO_FILL = "NO_FILL"
    EXPIRED = "EXPIRED"
    VENUE_UNAVAILABLE = "VENUE_UNAVAILABLE"
    NOT_SIGNED = "NOT_SIGNED"
    SETTLEMENT_FAILED = "SETTLEMENT_FAILED"
    # Incidents
    OVERCOUNT = "OVERCOUNT"
    WITHDRAWN = "WITHDRAWN"
    LATE_FILL = "LATE_FILL"
    OVERSOLD = "OVERSOLD"
    REVERSED = "REVERSED"
    PAID_COMMISSION_REVERSED = "PAID_COMMISSION_REVERSED"
    NO_SUBSCRIBERS = "NO_SUBSCRIBERS"
    HISTORY_MISSED = "HISTORY_MISSED"
    DEAD_LETTER = "DEAD_LETTER"
    BREAKER_OPENED = "BREAKER_OPENED"
    BREAKER_CLOSED = "BREAKER_CLOSED"
    PURGED = "PURGED"
    QUEUE_FULL = "QUEUE_FULL"
    QUEUE_DOWN = "QUEUE_DOWN"
    QUEUE_BACK = "QUEUE_BACK"
    LOAD_SHED = "LOAD_SHED"
    LOAD_NORMAL = "LOAD_NORMAL"
    STREAM_DEGRADED = "STREAM_DEGRADED"
    STREAM_RECOVERED = "STREAM_RECOVERED"
    UNSETTLED = "UNSETTLED"
    WRITTEN_OFF = "WRITTEN_OFF"
    UNSOLD = "UNSOLD"
    AUDIT_DIFFERENCE = "AUDIT_DIFFERENCE"
    SESSION_REVOKED = "SESSION_REVOKED"


_MICROS_UNITS = frozenset({Unit.SHARES, Unit.MONEY, Unit.PRICE})


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason with the value seen and the limit it passed; micros where the unit says so.

    `subject` names in a few words what was missing or met, where a number cannot.
    """

    reason: Reason
    value: int | None = None
    limit: int | None = None
    unit: Unit = Unit.NONE
    subject: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.reason.value} ({self.subject})" if self.subject else self.reason.value
        about = f"{self.subject}, " if self.subject else ""
        return f"{self.reason.value} ({about}value {self._show(self.value)}, limit {self._show(self.limit)})"

    def as_json(self) -> dict[str, object]:
        """As rows keep it: value and limit in the unit's micros or whole numbers, the subject where there is one."""
        told: dict[str, object] = {
            "reason": self.reason.value,
            "value": self.value,
            "limit": self.limit,
            "unit": self.unit.value,
        }
        if self.subject:
            told["subject"] = self.subject
        return told

    def _show(self, number: int | None) -> str:
        if number is None:
            return "none"
        text = text_from_micros(number) if self.unit in _MICROS_UNITS else str(number)
        return f"${text}" if self.unit is Unit.MONEY else text


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeIntent:
    """What one follower would like to do about one signal, before prices and budgets.

    `cost_micros` is measured at the limit price and rounded up; `counts` is 0 for a later part of a group
    that was already counted; `taken_micros` of the size are shares that earlier copies had put aside.
    """

    config_id: int
    follower_id: int
    leader_id: int
    token_id: int
    condition_id: str
    side: Side
    size_micros: Micros
    limit_micros: Micros
    cost_micros: Micros
    leader_price_micros: Micros
    slippage_bps_max: int
    counts: int
    notes: tuple[Reason, ...] = ()
    taken_micros: Micros = Micros(0)  # noqa: RUF009  # a number, for ever the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known at the moment of the decision; switches as last read."""

    now: datetime
    global_pause: bool = False
    follower_paused: bool = False
    leader_paused: bool = False
    market_paused: bool = False
    breaker_open: bool = False
    follower_allowed: bool = True
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The operator's bounds for one trade; None is no bound."""

    max_per_trade_micros: Micros | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer of the rules: allowed when there is no refusal."""

    refusals: tuple[Refusal, ...] = field(default=())

    @property
    def allowed(self) -> bool:
        """True when nothing refused."""
        return not self.refusals
