"""The settings of the websockets that are heard: the activity stream and the market channel; see `config.engine`."""

from config.environment import declare

declare.group("Activity stream and market events")

COPY_TRADING_SIGNAL_MODE: str = declare.choice(
    "COPY_TRADING_SIGNAL_MODE",
    default="HYBRID",
    options=("WS_ONLY", "POLLING_ONLY", "HYBRID"),
    meaning="Which of activity stream and polls are on. HYBRID polls faster while the stream is silent or behind. "
    "Chain logs and mempool have switches of their own.",
)
COPY_TRADING_WS_URL: str = declare.text(
    "COPY_TRADING_WS_URL", default="wss://ws-live-data.polymarket.com", meaning="Where the activity stream is."
)
COPY_TRADING_WS_FILTER_BY_ADDRESS: bool = declare.switch(
    "COPY_TRADING_WS_FILTER_BY_ADDRESS",
    default=True,
    meaning="Frames of the stream that name no followed wallet are dropped after a look at their bytes. Off: all are "
    "read and measured; wallets nobody follows go no further all the same.",
)
COPY_TRADING_WS_SILENT_S: int = declare.number(
    "COPY_TRADING_WS_SILENT_S",
    default=20,
    unit="seconds",
    meaning="Without fresh data for so long, while polls or chain logs hear something, the stream counts as silent; "
    "after three times as long in any case. It sends dozens of rows a second, and reconnects after 15 s of silence.",
)
COPY_TRADING_WS_LAG_MAX_MS: int = declare.number(
    "COPY_TRADING_WS_LAG_MAX_MS",
    default=6_000,
    unit="milliseconds",
    meaning="The stream counts as lagging when its rows are older than this at the 95th percentile, or come so much "
    "later than polls or chain logs. Usual are 2 to 3 s, and up to 1 s more: its times are whole seconds.",
)
COPY_TRADING_ENABLE_MARKET_EVENTS: bool = declare.switch(
    "COPY_TRADING_ENABLE_MARKET_EVENTS",
    default=False,
    meaning="Hear of changed tick sizes, resolved and new markets on the CLOB's market channel, for tokens in play. On "
    "in any case where orders are priced on the venue's books.",
)
COPY_TRADING_MARKET_WS_URL: str = declare.text(
    "COPY_TRADING_MARKET_WS_URL",
    default="wss://ws-subscriptions-clob.polymarket.com/ws/market",
    meaning="Where the market channel is.",
)
