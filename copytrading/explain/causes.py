"""What a person would look at or change because of a reason: a field, a limit, a switch, a setting. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Place(StrEnum):
    """Where the cause of a refusal is changed."""

    CONFIG = "config"
    FOLLOWER = "follower"
    LEADER = "leader"
    MARKET = "market"
    SWITCH = "switch"
    BREAKER = "breaker"
    STANDING = "standing"
    CASH = "cash"
    SETTINGS = "settings"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Cause:
    """Where a reason comes from: the place, and the names of its fields or settings there."""

    place: Place
    fields: tuple[str, ...] = ()


_SIZE = Cause(Place.CONFIG, ("sizing", "below_minimum"))
_NOWHERE = Cause(Place.NOWHERE)


def _limits() -> dict[str, Cause]:
    places = {"FOLLOWER": Place.FOLLOWER, "LEADER": Place.LEADER, "MARKET": Place.MARKET, "GLOBAL": Place.SETTINGS}
    found = {}
    for scope, place in places.items():
        for period in ("HOURLY", "DAILY"):
            for kind, column, setting in (("LIMIT", "limit_micros", "USD"), ("COUNT", "limit_count", "COUNT")):
                own = f"{period.lower()}_{column}"
                field = f"COPY_TRADING_GLOBAL_{period}_{setting}" if place is Place.SETTINGS else own
                found[f"{scope}_{period}_{kind}"] = Cause(place, (field,))
    return found


CAUSES: Mapping[str, Cause] = {
    "BELOW_MINIMUM": _SIZE,
    "ACCUMULATED": _SIZE,
    "ALREADY_COPIED": _NOWHERE,
    "NOTHING_TO_SELL": _NOWHERE,
    "LEADER_POSITION_UNKNOWN": Cause(Place.LEADER, ("holdings_complete",)),
    "SIDE_FILTERED": Cause(Place.CONFIG, ("sides",)),
    "BELOW_TRIGGER": Cause(Place.CONFIG, ("min_trigger_micros",)),
    "MAX_ODDS": Cause(Place.CONFIG, ("max_odds_micros",)),
    "STALE_SIGNAL": Cause(Place.SETTINGS, ("COPY_TRADING_STALE_AFTER_S",)),
    "SOLD_ALREADY": _NOWHERE,
    "BEFORE_FOLLOW": Cause(Place.CONFIG, ("active",)),
    "MAX_DAYS_OUT": Cause(Place.CONFIG, ("max_days_out",)),
    "MIN_LIQUIDITY": Cause(Place.CONFIG, ("min_liquidity_micros",)),
    "MIN_VOLUME": Cause(Place.CONFIG, ("min_volume_micros",)),
    "CATEGORY_FILTERED": Cause(Place.CONFIG, ("categories",)),
    "KEYWORD_FILTERED": Cause(Place.CONFIG, ("keywords",)),
    "MAX_PER_MARKET": Cause(Place.CONFIG, ("max_per_market_micros",)),
    "FACT_MISSING": Cause(Place.MARKET),
    "TAKE_PROFIT": Cause(Place.STANDING, ("take_profit_micros",)),
    "STOP_LOSS": Cause(Place.STANDING, ("stop_loss_micros",)),
    "MAX_DRAWDOWN": Cause(Place.STANDING, ("max_drawdown_micros",)),
    "EXIT_GIVEN_UP": Cause(Place.STANDING),
    "GLOBAL_PAUSE": Cause(Place.SWITCH),
    "FOLLOWER_PAUSED": Cause(Place.SWITCH),
    "LEADER_PAUSED": Cause(Place.SWITCH),
    "MARKET_PAUSED": Cause(Place.SWITCH),
    "BREAKER_OPEN": Cause(Place.BREAKER),
    "NOT_ALLOWED": Cause(Place.SETTINGS, ("COPY_TRADING_FOLLOWER_ALLOWLIST",)),
    "MAX_PER_TRADE": Cause(Place.SETTINGS, ("COPY_TRADING_MAX_PER_TRADE_USD",)),
    "DRY_RUN": Cause(Place.SWITCH),
    "PRICE_DEVIATION": Cause(Place.CONFIG, ("slippage_bps_max",)),
    "PRICE_OUT_OF_RANGE": Cause(Place.CONFIG, ("slippage_bps_max",)),
    "NO_LIQUIDITY": _NOWHERE,
    "FEE_TOO_HIGH": Cause(Place.CONFIG, ("fee_bps_max",)),
    "FALLBACK_PRICE": Cause(Place.SETTINGS, ("COPY_TRADING_FALLBACK_PRICE_MS",)),
    "ORDER_IMPOSSIBLE": _NOWHERE,
    "MARKET_CLOSED": Cause(Place.MARKET),
    "UNKNOWN_MARKET_VERSION": Cause(Place.MARKET, ("version",)),
    "MODE_UNAVAILABLE": Cause(Place.FOLLOWER, ("mode",)),
    "NOT_ENOUGH_CASH": Cause(Place.CASH),
    "ACCOUNT_NOT_READY": Cause(Place.FOLLOWER),
    "ACCOUNT_STOPPED": Cause(Place.FOLLOWER),
    "BALANCE_UNKNOWN": _NOWHERE,
    "ALLOWANCE_MISSING": Cause(Place.FOLLOWER),
    "RATE_LIMITED": _NOWHERE,
    "WAITED_FOR_BUY": _NOWHERE,
    "VENUE_UNAVAILABLE": _NOWHERE,
    "NOT_SIGNED": Cause(Place.FOLLOWER),
    "SETTLEMENT_FAILED": _NOWHERE,
    "UNSETTLED": _NOWHERE,
    "WRITTEN_OFF": _NOWHERE,
    "UNSOLD": _NOWHERE,
    "AUDIT_DIFFERENCE": _NOWHERE,
    "SESSION_REVOKED": Cause(Place.FOLLOWER),
    **_limits(),
    "PAUSED_BEFORE_SEND": Cause(Place.SWITCH),
    "TOO_LATE_TO_SEND": _NOWHERE,
    "REJECTED": _NOWHERE,
    "NO_FILL": Cause(Place.CONFIG, ("slippage_bps_max",)),
    "EXPIRED": _NOWHERE,
    "OVERCOUNT": _NOWHERE,
    "WITHDRAWN": _NOWHERE,
    "LATE_FILL": _NOWHERE,
    "OVERSOLD": _NOWHERE,
    "REVERSED": _NOWHERE,
    "PAID_COMMISSION_REVERSED": _NOWHERE,
    "NO_SUBSCRIBERS": _NOWHERE,
    "HISTORY_MISSED": _NOWHERE,
    "DEAD_LETTER": _NOWHERE,
    "PURGED": _NOWHERE,
    "QUEUE_FULL": Cause(Place.SETTINGS, ("SUPERVISOR_QUEUE_MAX_SIZE",)),
    "QUEUE_DOWN": _NOWHERE,
    "QUEUE_BACK": _NOWHERE,
    "LOAD_SHED": Cause(Place.SETTINGS, ("SUPERVISOR_SHED_QUEUE_SIZE", "SUPERVISOR_SHED_LAG_MS")),
    "LOAD_NORMAL": _NOWHERE,
    "STREAM_DEGRADED": Cause(Place.SETTINGS, ("COPY_TRADING_WS_SILENT_S", "COPY_TRADING_WS_LAG_MAX_MS")),
    "STREAM_RECOVERED": _NOWHERE,
    "BREAKER_OPENED": Cause(Place.BREAKER),
    "BREAKER_CLOSED": Cause(Place.BREAKER),
}


def cause_of(reason: str) -> Cause:
    """Where a reason comes from."""
    return CAUSES.get(reason, _NOWHERE)
