"""The settings of the circuit breakers of everybody, of each venue and of each account.

Declared as in `config.engine`, which says how; `config.settings` takes over every name of this file.
"""

from config.environment import declare

declare.group("Circuit breakers")

BREAKER_REJECTED_BPS: int = declare.number(
    "BREAKER_REJECTED_BPS",
    default=8_000,
    unit="of 10,000 orders",
    meaning="Nothing at all is sent after venues refused more than this part of the last orders. 0: no such breaker. "
    "That nobody traded at the price is no refusal, and what only one account did wrong counts for that account alone.",
)
BREAKER_UNKNOWN_BPS: int = declare.number(
    "BREAKER_UNKNOWN_BPS",
    default=5_000,
    unit="of 10,000 orders",
    meaning="Nothing at all is sent after the answers to more than this part of the last orders were lost. 0: none "
    "such.",
)
BREAKER_PRICE_BPS: int = declare.number(
    "BREAKER_PRICE_BPS",
    default=5_000,
    unit="of 10,000 orders",
    meaning="Nothing at all is bought after more than this part of the last fills were off the leader's price. 0: none "
    "such.",
)
BREAKER_WINDOW_COUNT: int = declare.number(
    "BREAKER_WINDOW_COUNT",
    default=500,
    unit="orders",
    meaning="How many of the last ones these three look at; at most 10,000, and not fewer than BREAKER_LEAST_COUNT.",
)
BREAKER_LEAST_COUNT: int = declare.number(
    "BREAKER_LEAST_COUNT",
    default=200,
    unit="orders",
    meaning="So many must have been answered before a part of them means anything.",
)
BREAKER_PRICE_APART_BPS: int = declare.number(
    "BREAKER_PRICE_APART_BPS",
    default=500,
    unit="basis points of the price",
    meaning="A fill is off when it is worse than the leader's price by more than this and by more than one tick; of an "
    "order that found nobody the book's best price counts. Wider than any slippage that is usual. 0: prices are not "
    "counted.",
)
BREAKER_LOSSES_COUNT: int = declare.number(
    "BREAKER_LOSSES_COUNT",
    default=0,
    unit="sells",
    meaning="Nothing at all is bought after so many sells in a row, of all accounts, realised a loss. Real money alone "
    "counts; where only paper is traded, paper does. All followers of a leader lose with its one sell: set more than "
    "follow anybody. 0: no such breaker, because that number is known to you alone.",
)
BREAKER_DRAWDOWN_USD: int = declare.number(
    "BREAKER_DRAWDOWN_USD",
    default=0,
    unit="dollars",
    meaning="Nothing at all is bought until the next UTC day after all accounts together realised a larger loss since "
    "midnight, fees included. Real money alone counts; where only paper is traded, paper does. 0: no such breaker, "
    "because the right bound depends on the money entrusted: set it for real trading.",
)
BREAKER_VENUE_REJECTED_BPS: int = declare.number(
    "BREAKER_VENUE_REJECTED_BPS",
    default=8_000,
    unit="of 10,000 orders",
    meaning="Nothing is sent to a venue after it refused more than this part of its last orders. 0: none such.",
)
BREAKER_VENUE_UNKNOWN_BPS: int = declare.number(
    "BREAKER_VENUE_UNKNOWN_BPS",
    default=5_000,
    unit="of 10,000 orders",
    meaning="Nothing is sent to a venue after more than this part of its last answers were lost: each may stand. 0: "
    "none such.",
)
BREAKER_VENUE_PRICE_BPS: int = declare.number(
    "BREAKER_VENUE_PRICE_BPS",
    default=5_000,
    unit="of 10,000 orders",
    meaning="Nothing is bought on a venue after more than this part of its last fills were off the leader's price. 0: "
    "none such.",
)
BREAKER_VENUE_WINDOW_COUNT: int = declare.number(
    "BREAKER_VENUE_WINDOW_COUNT",
    default=100,
    unit="orders",
    meaning="How many of a venue's last ones these three look at: one signal of a well-followed leader.",
)
BREAKER_VENUE_LEAST_COUNT: int = declare.number(
    "BREAKER_VENUE_LEAST_COUNT",
    default=20,
    unit="orders",
    meaning="So many of a venue's orders must have been answered: few enough that a venue that takes nothing is left "
    "alone within one signal.",
)
BREAKER_VENUE_LOSSES_COUNT: int = declare.number(
    "BREAKER_VENUE_LOSSES_COUNT",
    default=0,
    unit="sells",
    meaning="Nothing is bought on a venue after so many of its sells in a row, of all accounts, realised a loss: set "
    "more than follow anybody there. 0: none such.",
)
BREAKER_VENUE_DRAWDOWN_USD: int = declare.number(
    "BREAKER_VENUE_DRAWDOWN_USD",
    default=0,
    unit="dollars",
    meaning="Nothing is bought on a venue until the next UTC day after all its accounts together realised a larger "
    "loss since midnight, fees included. 0: no such breaker, because the right bound depends on the money entrusted: "
    "set it for real trading.",
)
BREAKER_ACCOUNT_REJECTED_BPS: int = declare.number(
    "BREAKER_ACCOUNT_REJECTED_BPS",
    default=8_000,
    unit="of 10,000 orders",
    meaning="Nothing is sent for an account after more than this part of its last orders were refused. 0: none such.",
)
BREAKER_ACCOUNT_UNKNOWN_BPS: int = declare.number(
    "BREAKER_ACCOUNT_UNKNOWN_BPS",
    default=6_000,
    unit="of 10,000 orders",
    meaning="Nothing is sent for an account after more than this part of its last answers were lost. 0: none such.",
)
BREAKER_ACCOUNT_PRICE_BPS: int = declare.number(
    "BREAKER_ACCOUNT_PRICE_BPS",
    default=8_000,
    unit="of 10,000 orders",
    meaning="An account buys nothing after more than this part of its last fills were off the leader's price. 0: none "
    "such.",
)
BREAKER_ACCOUNT_WINDOW_COUNT: int = declare.number(
    "BREAKER_ACCOUNT_WINDOW_COUNT",
    default=20,
    unit="orders",
    meaning="How many of an account's last ones these three look at: a day of a busy account.",
)
BREAKER_ACCOUNT_LEAST_COUNT: int = declare.number(
    "BREAKER_ACCOUNT_LEAST_COUNT",
    default=5,
    unit="orders",
    meaning="So many of an account's orders must have been answered: an account sends few, and each is real money.",
)
BREAKER_ACCOUNT_LOSSES_COUNT: int = declare.number(
    "BREAKER_ACCOUNT_LOSSES_COUNT",
    default=0,
    unit="sells",
    meaning="An account buys no more after so many of its sells in a row realised a loss; it may still sell. 0: no "
    "such breaker. Off, because on paper a streak of losses is what one wants to see, and because what fills realised "
    "takes one more query for each group of them.",
)
BREAKER_ACCOUNT_DRAWDOWN_USD: int = declare.number(
    "BREAKER_ACCOUNT_DRAWDOWN_USD",
    default=0,
    unit="dollars",
    meaning="An account buys nothing until the next UTC day after it realised a larger loss since midnight, fees "
    "included; it may still sell. Closed by hand, it counts anew from there. 0: no such breaker; set it for real "
    "trading.",
)
BREAKER_ACCOUNT_PROBES_COUNT: int = declare.number(
    "BREAKER_ACCOUNT_PROBES_COUNT",
    default=1,
    unit="orders",
    meaning="Let through by each process when an account's breaker has cooled down.",
)
BREAKER_COOLDOWN_S: int = declare.number(
    "BREAKER_COOLDOWN_S",
    default=60,
    unit="seconds",
    meaning="An open breaker waits so long before it lets probes through, twice as long after each probe that failed. "
    "The venue's weekly restart takes 90 s.",
)
BREAKER_COOLDOWN_MAX_S: int = declare.number(
    "BREAKER_COOLDOWN_MAX_S", default=3_600, unit="seconds", meaning="The longest such wait."
)
BREAKER_PROBES_COUNT: int = declare.number(
    "BREAKER_PROBES_COUNT",
    default=5,
    unit="orders",
    meaning="Let through then by each process, for everybody and for a venue; all good closes the breaker, one bad "
    "opens it again.",
)
