"""The settings of followers' accounts on the venue: their money, their connections, and where this machine is.

Declared as in `config.engine`, which says how; `config.settings` takes over every name of this file.
"""

from config.environment import declare

declare.group("Accounts on the venue")

TRADING_MONEY_TTL_MS: int = declare.number(
    "TRADING_MONEY_TTL_MS",
    default=30_000,
    unit="milliseconds",
    meaning="An account's money on the venue may be so old when a BUY is decided; it is read again in the background "
    "at half of it, so that nobody waits. Beyond about 200 accounts it may be older: the venue grants an address "
    "20 balances a second. Grants are made on the booked cash in any case.",
)
TRADING_MONEY_WAIT_MS: int = declare.number(
    "TRADING_MONEY_WAIT_MS",
    default=1_500,
    unit="milliseconds",
    meaning="A BUY of an account whose money is not known waits so long for it, and is skipped then (BALANCE_UNKNOWN).",
)
TRADING_GEOBLOCK_URL: str = declare.text(
    "TRADING_GEOBLOCK_URL",
    default="https://polymarket.com/api/geoblock",
    meaning="Says whether the venue takes orders from this machine's address. Empty: it is not asked.",
)
CLOB_USER_WS_URL: str = declare.text(
    "CLOB_USER_WS_URL",
    default="wss://ws-subscriptions-clob.polymarket.com/ws/user",
    meaning="Where an account hears of its own orders and trades.",
)
CLOB_USER_SOCKETS_COUNT: int = declare.number(
    "CLOB_USER_SOCKETS_COUNT",
    default=200,
    unit="connections",
    meaning="Accounts that are heard at once, the most active ones: the venue wants a connection for each key. The "
    "others' trades are asked for every few seconds. 0: all are asked for.",
)
CLOB_USER_ACTIVE_S: int = declare.number(
    "CLOB_USER_ACTIVE_S",
    default=600,
    unit="seconds",
    meaning="An account keeps its connection for so long after its last order.",
)
