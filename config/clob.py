"""The settings of trading on the CLOB: its connections, its limits, and how long things may take.

Declared as in `config.engine`, which says how; `config.settings` takes over every name of this file. Where the CLOB is
says CLOB_URL of `config.polling`.
"""

from config.environment import declare

declare.group("Orders on the CLOB")

CLOB_ORDER_TIMEOUT_MS: int = declare.number(
    "CLOB_ORDER_TIMEOUT_MS",
    default=5_000,
    unit="milliseconds",
    meaning="An order without an answer after this is unknown, and is asked about by its hash. Of this time three "
    "quarters may pass before there is a connection; then nothing was sent.",
)
CLOB_READ_TIMEOUT_MS: int = declare.number(
    "CLOB_READ_TIMEOUT_MS",
    default=5_000,
    unit="milliseconds",
    meaning="The same for questions about orders, trades, balances and credentials.",
)
CLOB_CONNECTIONS_COUNT: int = declare.number(
    "CLOB_CONNECTIONS_COUNT",
    default=200,
    unit="connections",
    meaning="Of one process, shared by all accounts. At 50 ms an answer, 200 carry 4,000 orders a second, eight times "
    "what the venue takes from one address.",
)
CLOB_KEEP_ALIVE_S: int = declare.number(
    "CLOB_KEEP_ALIVE_S",
    default=60,
    unit="seconds",
    meaning="An idle connection is kept for so long: the next order saves two round trips and the handshake.",
)
CLOB_WARM_COUNT: int = declare.number(
    "CLOB_WARM_COUNT",
    default=10,
    unit="connections",
    meaning="Kept open by asking for the venue's time before they grow cold, and its clock is compared. 0: none.",
)
CLOB_ORDERS_COUNT: int = declare.number(
    "CLOB_ORDERS_COUNT",
    default=5_000,
    unit="orders in 10 s",
    meaning="What the CLOB lets one address post. All shards of an address share it, through Redis.",
)
CLOB_ORDERS_LONG_COUNT: int = declare.number(
    "CLOB_ORDERS_LONG_COUNT", default=120_000, unit="orders in 10 min", meaning="The same over a longer time."
)
CLOB_SHARE_PERCENT: int = declare.number(
    "CLOB_SHARE_PERCENT",
    default=80,
    unit="per cent",
    meaning="Of every limit of the CLOB that is used, those of a signer's tier included: what is above it the venue "
    "first delays and then refuses for everybody.",
)
CLOB_TRADES_COUNT: int = declare.number(
    "CLOB_TRADES_COUNT", default=500, unit="requests in 10 s", meaning="What it lets one address ask for trades."
)
CLOB_LEDGER_COUNT: int = declare.number(
    "CLOB_LEDGER_COUNT", default=900, unit="requests in 10 s", meaning="The same for single orders."
)
CLOB_BALANCES_COUNT: int = declare.number(
    "CLOB_BALANCES_COUNT", default=200, unit="requests in 10 s", meaning="The same for balances and allowances."
)
