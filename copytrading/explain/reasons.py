"""What each reason means, in a sentence for somebody who has never read our code. Pure; a test keeps it complete."""

from collections.abc import Mapping

_PERIODS = {"HOURLY": "of this hour", "DAILY": "of this UTC day"}
_SCOPES = {
    "FOLLOWER": "the follower",
    "LEADER": "everybody who copies this leader",
    "MARKET": "everybody in this market",
    "GLOBAL": "everybody together",
}


def _limits() -> dict[str, str]:
    found = {}
    for scope, who in _SCOPES.items():
        for period, when in _PERIODS.items():
            found[f"{scope}_{period}_LIMIT"] = f"The money limit {when} for {who} would have been passed."
            found[f"{scope}_{period}_COUNT"] = f"The limit on the number of copies {when} for {who} was reached."
    return found


EXPLANATIONS: Mapping[str, str] = {
    # Sizing
    "BELOW_MINIMUM": "The copy would have been smaller than the venue takes.",
    "ALREADY_COPIED": "An earlier part of the same trade was already copied in full.",
    "ACCUMULATED": "Too small for the venue alone; kept and added to the next copy of the same token.",
    "NOTHING_TO_SELL": "The leader sold, but the follower holds none of it.",
    "LEADER_POSITION_UNKNOWN": "How much the leader held is not known, so the sale was sized like a purchase.",
    # Filters
    "SIDE_FILTERED": "The follower copies only the other side, buys or sells.",
    "BELOW_TRIGGER": "The leader's trade was smaller than the follower wants to react to.",
    "MAX_ODDS": "The price is above the highest at which the follower buys.",
    "STALE_SIGNAL": "The leader's trade was too old when it was seen.",
    "SOLD_ALREADY": "The leader's purchase was heard of only after a later sale of the same.",
    "BEFORE_FOLLOW": "The leader traded before the follower began to copy, or while copying was switched off.",
    "MAX_DAYS_OUT": "The market ends later than the follower wants.",
    "MIN_LIQUIDITY": "Less money waits in the market's book than the follower wants.",
    "MIN_VOLUME": "Less was traded in the market so far than the follower wants.",
    "CATEGORY_FILTERED": "The market is in none of the follower's categories.",
    "KEYWORD_FILTERED": "The market's title has none of the follower's keywords.",
    "MAX_PER_MARKET": "The follower would have had more money in this market than it allows.",
    "FACT_MISSING": "What a filter asks about, or what an order with real money needs, is not known for this market.",
    # Stops
    "TAKE_PROFIT": "The copies of this leader have earned as much as the follower wanted; copying has stopped.",
    "STOP_LOSS": "The copies of this leader have lost as much as the follower accepts; copying has stopped.",
    "MAX_DRAWDOWN": "The profit with this leader fell too far below its highest; copying has stopped.",
    "EXIT_GIVEN_UP": "The sale of what was held after a stop was tried too often and given up.",
    # Guardrails
    "GLOBAL_PAUSE": "All copying was paused.",
    "FOLLOWER_PAUSED": "This follower was paused.",
    "LEADER_PAUSED": "This leader was paused.",
    "MARKET_PAUSED": "This market was paused.",
    "BREAKER_OPEN": "A circuit breaker was open: too much had gone wrong shortly before.",
    "NOT_ALLOWED": "The follower is not on the list of those who may trade.",
    "MAX_PER_TRADE": "The copy would have cost more than one trade may.",
    "DRY_RUN": "Planned and signed as a rehearsal; nothing was sent.",
    # Pricing and preflight
    "PRICE_DEVIATION": "The market's price was further from the leader's than the follower accepts.",
    "PRICE_OUT_OF_RANGE": "No price that the venue takes lies within the follower's bound.",
    "NO_LIQUIDITY": "Nobody offered anything to trade against.",
    "ORDER_IMPOSSIBLE": "No order of this size and price can be written down for the venue.",
    "MARKET_CLOSED": "The market takes no orders any more.",
    "UNKNOWN_MARKET_VERSION": "Orders cannot be signed for a market of this kind, or the venue has not said its kind.",
    "MODE_UNAVAILABLE": "The follower trades in a way that this version does not execute.",
    "NOT_ENOUGH_CASH": "The follower's free money did not suffice.",
    "FEE_TOO_HIGH": "The market's taker fee is higher than the follower accepts on top of the price.",
    "FALLBACK_PRICE": "There was no book; the leader's own price took its place.",
    # Accounts
    "ACCOUNT_NOT_READY": "The follower's trading account lacks something: see its readiness.",
    "ACCOUNT_STOPPED": "The follower's trading account was stopped: see why on its page.",
    "BALANCE_UNKNOWN": "What the follower has on the venue could not be read.",
    "ALLOWANCE_MISSING": "The follower has not allowed the exchange to move its money or its shares.",
    "RATE_LIMITED": "The venue's limit on orders held the copy back until it was too old.",
    "WAITED_FOR_BUY": "The sale waited for a purchase of the same that was not settled yet.",
    # Budgets
    **_limits(),
    # After the prewrite
    "PAUSED_BEFORE_SEND": "A pause was pressed after the decision and before the order left; nothing was sent.",
    "TOO_LATE_TO_SEND": "The order had waited too long to be sent; nothing was sent.",
    "REJECTED": "The venue refused the order.",
    "NO_FILL": "The venue took the order, but nobody traded at its price.",
    "EXPIRED": "The venue never knew of the order; it was given up after its time.",
    "VENUE_UNAVAILABLE": "The venue took no orders until the copy was too old: a restart, a refusal of all, no answer.",
    "NOT_SIGNED": "The signer refused the order, or could not be reached; nothing was sent.",
    "SETTLEMENT_FAILED": "The venue matched the order, but the trade failed on the chain: nothing was bought or sold.",
    # Incidents
    "OVERCOUNT": "A source had shown more than the chain confirmed.",
    "WITHDRAWN": "A leader's transaction that was acted on is not in the chain.",
    "LATE_FILL": "A fill was found after the order had been given up.",
    "OVERSOLD": "More was sold than was held.",
    "REVERSED": "The chain or the venue undid a fill that was booked; all its money went back.",
    "PAID_COMMISSION_REVERSED": "The commission on a fill that was undone had been paid, or was being paid.",
    "NO_SUBSCRIBERS": "Nobody follows this leader.",
    "HISTORY_MISSED": "Some of a leader's past will not be read any more: it is too long ago, or too much.",
    "BREAKER_OPENED": "A circuit breaker opened: what it counts went wrong too often.",
    "BREAKER_CLOSED": "A circuit breaker closed again, by good probes or by a person.",
    "DEAD_LETTER": "Deciding failed again and again; the signal was put aside.",
    "PURGED": "Deciding had failed again and again, and a person has given the signal up.",
    "QUEUE_FULL": "More signals waited than the queue may hold; those that were refused are offered again.",
    "QUEUE_DOWN": "The queue does not answer; signals are taken from the database itself.",
    "QUEUE_BACK": "The queue answers again.",
    "LOAD_SHED": "More had to be decided than could be; some of it is put off.",
    "LOAD_NORMAL": "The load has passed; everything is decided as it comes.",
    "STREAM_DEGRADED": "The activity stream fell silent or behind; leaders are polled faster meanwhile.",
    "STREAM_RECOVERED": "The activity stream is well again; leaders are polled at the usual pace.",
    "UNSETTLED": "What the venue matched is neither confirmed nor failed, long after it should be; it is watched.",
    "UNSOLD": "A sale was decided before a purchase of the same had settled; nobody sells what that may still bring.",
    "WRITTEN_OFF": "A person gave up what the venue had matched and never settled; it is watched for a day.",
    "AUDIT_DIFFERENCE": "What the venue shows of an account's trades differs from what is booked here.",
    "SESSION_REVOKED": "The venue no longer takes the account's key: its owner revoked it, or it has expired.",
}

LEADER_TRADE_GONE = "The leader's transaction is not in the chain"
"""Of a copy whose leader's trade was undone: its block left the chain, or it was never mined."""

UNEXPLAINED = "Its admin page has the value and the limit."


def explanation(reason: str) -> str:
    """One sentence on what this reason means."""
    return EXPLANATIONS.get(reason, UNEXPLAINED)


def title(reason: str) -> str:
    """A reason's name as people write it: BELOW_MINIMUM is 'Below minimum'."""
    return reason.capitalize().replace("_", " ")
