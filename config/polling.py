"""The settings of what is asked for again and again: polls, leaders' positions, and markets.

Declared as in `config.engine`, which says how; `config.settings` takes over every name of this file.
"""

from config.environment import declare

declare.group("Polls, positions and markets")

COPY_TRADING_POLL_ACTIVE_MS: int = declare.number(
    "COPY_TRADING_POLL_ACTIVE_MS",
    default=5_000,
    unit="milliseconds",
    meaning="Between two looks at a leader who traded lately, while the stream is well. A trade shows there after 5 s.",
)
COPY_TRADING_POLL_QUIET_MS: int = declare.number(
    "COPY_TRADING_POLL_QUIET_MS",
    default=60_000,
    unit="milliseconds",
    meaning="The longest such time, for leaders who have been quiet for half an hour.",
)
COPY_TRADING_POLL_FAST_ACTIVE_MS: int = declare.number(
    "COPY_TRADING_POLL_FAST_ACTIVE_MS",
    default=1_000,
    unit="milliseconds",
    meaning="The first of the two while polls are all there is, or the stream is unwell.",
)
COPY_TRADING_POLL_FAST_QUIET_MS: int = declare.number(
    "COPY_TRADING_POLL_FAST_QUIET_MS", default=10_000, unit="milliseconds", meaning="The second of the two then."
)
COPY_TRADING_POLL_CONCURRENCY_COUNT: int = declare.number(
    "COPY_TRADING_POLL_CONCURRENCY_COUNT", default=8, unit="requests", meaning="Leaders looked at at the same time."
)
COPY_TRADING_POLL_TRADES_ONLY: bool = declare.switch(
    "COPY_TRADING_POLL_TRADES_ONLY",
    default=False,
    meaning="Read /v2/trades (with taker_only=false) in place of /v2/activity, should that ever fall behind: half as "
    "many requests are allowed, and redemptions, merges, splits and conversions are not seen.",
)
COPY_TRADING_REPLAY_MAX_S: int = declare.number(
    "COPY_TRADING_REPLAY_MAX_S",
    default=21_600,
    unit="seconds",
    meaning="After a pause each leader is read again from where it stopped, but not from longer ago; what lies before "
    "is counted, raised as HISTORY_MISSED, and makes the leader's holdings unknown until they are read.",
)
COPY_TRADING_REPLAY_ROWS_COUNT: int = declare.number(
    "COPY_TRADING_REPLAY_ROWS_COUNT",
    default=10_000,
    unit="rows",
    meaning="The most that is read again of one leader: the newest. The busiest ones recorded make 1,500 an hour.",
)
DATA_API_URL: str = declare.text(
    "DATA_API_URL", default="https://data-api.polymarket.com", meaning="Where activity and positions are asked for."
)
DATA_API_ACTIVITY_COUNT: int = declare.number(
    "DATA_API_ACTIVITY_COUNT",
    default=400,
    unit="requests in 10 s",
    meaning="What the Data API lets one address ask for activity. All shards of an address share it, through Redis.",
)
DATA_API_TRADES_COUNT: int = declare.number(
    "DATA_API_TRADES_COUNT", default=200, unit="requests in 10 s", meaning="The same for trades."
)
DATA_API_POSITIONS_COUNT: int = declare.number(
    "DATA_API_POSITIONS_COUNT", default=200, unit="requests in 10 s", meaning="The same for positions."
)
DATA_API_SHARE_PERCENT: int = declare.number(
    "DATA_API_SHARE_PERCENT",
    default=80,
    unit="per cent",
    meaning="Of each of these and of Gamma's allowance that is used: other programs of the address ask too, and a 429 "
    "stops everybody.",
)
COPY_TRADING_POSITIONS_REREAD_S: int = declare.number(
    "COPY_TRADING_POSITIONS_REREAD_S",
    default=900,
    unit="seconds",
    meaning="Between two readings of what a leader holds; sooner after something became unknown.",
)
GAMMA_URL: str = declare.text(
    "GAMMA_URL", default="https://gamma-api.polymarket.com", meaning="Where markets are asked for."
)
GAMMA_MARKETS_COUNT: int = declare.number(
    "GAMMA_MARKETS_COUNT", default=300, unit="requests in 10 s", meaning="What Gamma lets one address ask for markets."
)
CLOB_URL: str = declare.text(
    "CLOB_URL", default="https://clob.polymarket.com", meaning="Where terms of markets are asked for."
)
CLOB_MARKETS_COUNT: int = declare.number(
    "CLOB_MARKETS_COUNT", default=1_500, unit="requests in 10 s", meaning="What the CLOB lets one address ask."
)
MARKETS_CACHED_COUNT: int = declare.number(
    "MARKETS_CACHED_COUNT", default=5_000, unit="markets", meaning="Whose description is kept in memory."
)
MARKETS_FRESH_S: int = declare.number(
    "MARKETS_FRESH_S",
    default=300,
    unit="seconds",
    meaning="An older description is read again when it is next needed; a changed tick is read at once.",
)
