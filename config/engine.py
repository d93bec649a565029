"""The settings of the engine, the supervisor process and the paper venue.

To add one, add one declaration in its group; the name ends in its unit (_MS, _S, _USD, _BPS, _COUNT, ...):

    COPY_TRADING_EXAMPLE_MS: int = declare.number(
        "COPY_TRADING_EXAMPLE_MS", default=20, unit="milliseconds", meaning="What it bounds, and why this number."
    )

and run `manage.py settings --write docs/operations.md`. Numbers, switches, texts and lists are `declare.number`,
`.switch`, `.text` and `.words`; what may not be zero also stands in AT_LEAST_ONE of `copytrading/checks.py`.
`config.settings` takes over every name of this file.
"""

from config.environment import declare

# --- The engine ---------------------------------------------------------------------------------------

declare.group("Engine")

ENABLE_REAL_TRADING: bool = declare.switch(
    "ENABLE_REAL_TRADING",
    default=False,
    meaning="Real money: copies of EXCHANGE followers become orders. Refuses SQLite, memory stores and `verify`.",
)
COPY_TRADING_DRY_RUN: bool = declare.switch(
    "COPY_TRADING_DRY_RUN",
    default=False,
    meaning="Skip everything that spends: plan, sign, and write SKIPPED (DRY_RUN).",
)
COPY_TRADING_FOLLOWER_ALLOWLIST: list[str] = declare.words(
    "COPY_TRADING_FOLLOWER_ALLOWLIST", default=(), meaning="Wallets of the followers that may trade; empty allows all."
)
COPY_TRADING_COALESCE_MS: int = declare.number(
    "COPY_TRADING_COALESCE_MS",
    default=20,
    unit="milliseconds",
    meaning="Rows of one group are gathered so long before they become a signal. One taker's fills of a transaction "
    "arrive within a few milliseconds of each other on the activity stream.",
)
COPY_TRADING_BATCH_COPIES: int = declare.number(
    "COPY_TRADING_BATCH_COPIES",
    default=500,
    unit="copies",
    meaning="Decided and written in one transaction. Larger batches amortise round trips, smaller ones start sooner.",
)
COPY_TRADING_OUTCOME_FLUSH_MS: int = declare.number(
    "COPY_TRADING_OUTCOME_FLUSH_MS", default=5, unit="milliseconds", meaning="Between group commits of outcomes."
)
COPY_TRADING_STALE_AFTER_S: int = declare.number(
    "COPY_TRADING_STALE_AFTER_S",
    default=60,
    unit="seconds",
    meaning="Age at which a live signal is too old to copy. Stream delay is 2 to 3 s at p90.",
)
PENDING_EXPIRY_MINUTES: int = declare.number(
    "PENDING_EXPIRY_MINUTES",
    default=10,
    unit="minutes",
    meaning="An open order may stay without an answer so long; then it is cancelled by its hash and FAILED (EXPIRED).",
)
COPY_TRADING_EXPIRE_AFTER_S: int = declare.number(
    "COPY_TRADING_EXPIRE_AFTER_S",
    default=PENDING_EXPIRY_MINUTES * 60,
    unit="seconds",
    meaning="The same in seconds, for rehearsals; without it PENDING_EXPIRY_MINUTES counts.",
)
COPY_TRADING_CONFIG_REFRESH_MS: int = declare.number(
    "COPY_TRADING_CONFIG_REFRESH_MS",
    default=700,
    unit="milliseconds",
    meaning="The configs in memory are never older: what is switched off copies nothing a second later. Pauses are "
    "read fresh.",
)
COPY_TRADING_CONFIG_RECONCILE_S: int = declare.number(
    "COPY_TRADING_CONFIG_RECONCILE_S",
    default=300,
    unit="seconds",
    meaning="Between full readings of the configs, which drop what was deleted by hand. SQLite reads all each time.",
)
COPY_TRADING_MARKET_CACHE_MS: int = declare.number(
    "COPY_TRADING_MARKET_CACHE_MS",
    default=1_000,
    unit="milliseconds",
    meaning="The terms of markets may be served from memory so long.",
)
COPY_TRADING_METRICS_INTERVAL_MS: int = declare.number(
    "COPY_TRADING_METRICS_INTERVAL_MS",
    default=10_000,
    unit="milliseconds",
    meaning="Between lines of stage times in the log.",
)
COPY_TRADING_DRAIN_MS: int = declare.number(
    "COPY_TRADING_DRAIN_MS",
    default=10_000,
    unit="milliseconds",
    meaning="SIGTERM may take so long: sources stop, the queue drains, sends finish. systemd must wait longer.",
)
COPY_TRADING_LEASE_TTL_S: int = declare.number(
    "COPY_TRADING_LEASE_TTL_S",
    default=8,
    unit="seconds",
    meaning="A shard's lease lives so long without its heartbeat; whoever stands by takes over half a second after it "
    "has ended, so at 8 within 10 s of a death. At least 5: a holder stops trusting its lease two seconds before it "
    "could end.",
)
COPY_TRADING_DB_THREADS: int = declare.number(
    "COPY_TRADING_DB_THREADS",
    default=4,
    unit="threads",
    meaning="Of the engine's database door; each holds one connection. SQLite uses one.",
)

# --- The limits ---------------------------------------------------------------------------------------

declare.group("Money limits of everybody (0 is no limit)")

COPY_TRADING_MAX_PER_TRADE_USD: int = declare.number(
    "COPY_TRADING_MAX_PER_TRADE_USD", default=10_000, unit="dollars", meaning="Of one copy, at its limit price."
)
COPY_TRADING_GLOBAL_HOURLY_USD: int = declare.number(
    "COPY_TRADING_GLOBAL_HOURLY_USD", default=0, unit="dollars", meaning="Bought by all followers in an hour."
)
COPY_TRADING_GLOBAL_DAILY_USD: int = declare.number(
    "COPY_TRADING_GLOBAL_DAILY_USD", default=0, unit="dollars", meaning="Bought by all followers in a UTC day."
)
COPY_TRADING_GLOBAL_HOURLY_COUNT: int = declare.number(
    "COPY_TRADING_GLOBAL_HOURLY_COUNT", default=0, unit="copies", meaning="Buys of all followers in an hour."
)
COPY_TRADING_GLOBAL_DAILY_COUNT: int = declare.number(
    "COPY_TRADING_GLOBAL_DAILY_COUNT", default=0, unit="copies", meaning="Buys of all followers in a UTC day."
)
COPY_TRADING_MARKET_HOURLY_USD: int = declare.number(
    "COPY_TRADING_MARKET_HOURLY_USD", default=0, unit="dollars", meaning="Bought in each market in an hour."
)
COPY_TRADING_MARKET_DAILY_USD: int = declare.number(
    "COPY_TRADING_MARKET_DAILY_USD", default=0, unit="dollars", meaning="Bought in each market in a UTC day."
)
COPY_TRADING_MARKET_HOURLY_COUNT: int = declare.number(
    "COPY_TRADING_MARKET_HOURLY_COUNT", default=0, unit="copies", meaning="Buys in each market in an hour."
)
COPY_TRADING_MARKET_DAILY_COUNT: int = declare.number(
    "COPY_TRADING_MARKET_DAILY_COUNT", default=0, unit="copies", meaning="Buys in each market in a UTC day."
)

# --- Commissions --------------------------------------------------------------------------------------

declare.group("Commissions")

COMMISSION_TIERS: str = declare.text(
    "COMMISSION_TIERS",
    default="",
    meaning="What a referrer earns of its followers' realised profit: VOLUME:RATE pairs such as "
    "`0:500,10000:700,100000:1000`, volumes in whole pUSD that its followers traded in the last 30 UTC days, rates in "
    "basis points. Empty: no commissions, and no volume is counted.",
)

# --- The process --------------------------------------------------------------------------------------

declare.group("Supervisor process")

SUPERVISOR_SHARD_INDEX: int = declare.number(
    "SUPERVISOR_SHARD_INDEX", default=0, unit="shard", meaning="Which shard `runsupervisor` runs without --shard."
)
SUPERVISOR_SHARD_COUNT: int = declare.number(
    "SUPERVISOR_SHARD_COUNT",
    default=1,
    unit="shards",
    meaning="How many shards share the leaders; the same for every process. More than one needs Postgres and Redis.",
)
SUPERVISOR_METRICS_PORT: int = declare.number(
    "SUPERVISOR_METRICS_PORT",
    default=0,
    unit="port of 127.0.0.1",
    meaning="Where shard 0 serves /metrics, /healthz and /readyz; each further shard takes the next port. 0: nowhere.",
)
SUPERVISOR_SELFTEST: bool = declare.switch(
    "SUPERVISOR_SELFTEST",
    default=False,
    meaning="Run one paper trade through before the engine starts; nothing of it is ever committed. If it fails, "
    "the supervisor does not start.",
)
SUPERVISOR_SELFTEST_EXIT: bool = declare.switch(
    "SUPERVISOR_SELFTEST_EXIT", default=False, meaning="Run the self-test and end: code 0 passed, 1 failed."
)
SUPERVISOR_SELFTEST_MAX_S: int = declare.number(
    "SUPERVISOR_SELFTEST_MAX_S",
    default=10,
    unit="seconds",
    meaning="A self-test that takes longer has failed. It takes well under one second.",
)

# --- The queue and what happens under load ------------------------------------------------------------

declare.group("Queue and load")

SUPERVISOR_QUEUE_MAX_SIZE: int = declare.number(
    "SUPERVISOR_QUEUE_MAX_SIZE",
    default=5_000,
    unit="signals",
    meaning="Waiting to be decided, each shard's. A full queue refuses: what it refused is a row and is offered again; "
    "a replay waits for room instead.",
)
SUPERVISOR_QUEUE_EXITS_BPS: int = declare.number(
    "SUPERVISOR_QUEUE_EXITS_BPS",
    default=1_000,
    unit="basis points",
    meaning="Of that queue only sells and exits may take so many, so that they are refused last.",
)
SUPERVISOR_WORKER_POOL_SIZE: int = declare.number(
    "SUPERVISOR_WORKER_POOL_SIZE",
    default=2_000,
    unit="copies",
    meaning="Under way at once; the bound on sockets and on what a crash leaves to ask about.",
)
SUPERVISOR_FAN_OUT_COUNT: int = declare.number(
    "SUPERVISOR_FAN_OUT_COUNT",
    default=250,
    unit="copies",
    meaning="Of one leader in one batch while others wait; the rest of a leader's followers has the next turns.",
)
SUPERVISOR_DEAD_LETTER_COUNT: int = declare.number(
    "SUPERVISOR_DEAD_LETTER_COUNT",
    default=3,
    unit="tries",
    meaning="A signal that was begun so often and never finished goes to the dead letters: `manage.py deadletters`.",
)
SUPERVISOR_SHED_QUEUE_SIZE: int = declare.number(
    "SUPERVISOR_SHED_QUEUE_SIZE",
    default=2_500,
    unit="signals",
    meaning="More undecided signals than this for a second: load is shed, one step a second. 0: never for this.",
)
SUPERVISOR_SHED_LAG_MS: int = declare.number(
    "SUPERVISOR_SHED_LAG_MS",
    default=10_000,
    unit="milliseconds",
    meaning="The same when so much or more has passed since the detection of the oldest 5 % of the undecided signals "
    "(p95). 0: never for this.",
)
SUPERVISOR_SHED_FAN_OUT_COUNT: int = declare.number(
    "SUPERVISOR_SHED_FAN_OUT_COUNT",
    default=50,
    unit="copies",
    meaning="Takes the place of SUPERVISOR_FAN_OUT_COUNT while load is shed: the first step.",
)
SUPERVISOR_SHED_ENTRY_AGE_S: int = declare.number(
    "SUPERVISOR_SHED_ENTRY_AGE_S",
    default=20,
    unit="seconds",
    meaning="The last step refuses buys older than this, and decides them when the load has passed: by then they are "
    "mostly stale. Exits are never refused by age.",
)
SUPERVISOR_SHED_HEALTHY_COUNT: int = declare.number(
    "SUPERVISOR_SHED_HEALTHY_COUNT",
    default=10,
    unit="seconds",
    meaning="So many in a row within half of both bounds take back one step.",
)

# --- The paper venue ----------------------------------------------------------------------------------

declare.group("Paper venue")

PAPER_START_USD: int = declare.number(
    "PAPER_START_USD", default=10_000, unit="dollars", meaning="Pretend money that a paper follower starts with."
)
PAPER_SPREAD_BPS: int = declare.number(
    "PAPER_SPREAD_BPS",
    default=0,
    unit="basis points of the price",
    meaning="Full spread of a book made around the leader's price; at 0 a copy meets the leader's own price, rounded "
    "away from it to the tick.",
)
PAPER_DEPTH_SHARES: int = declare.number(
    "PAPER_DEPTH_SHARES",
    default=5_000,
    unit="shares",
    meaning="On each level of such a book.",
)
PAPER_LATENCY_MS: int = declare.number(
    "PAPER_LATENCY_MS", default=0, unit="milliseconds", meaning="Before the venue answers."
)
PAPER_JITTER_MS: int = declare.number(
    "PAPER_JITTER_MS", default=0, unit="milliseconds", meaning="The largest random addition to the latency."
)
PAPER_REJECT_BPS: int = declare.number(
    "PAPER_REJECT_BPS", default=0, unit="of 10,000 orders", meaning="Refused: a fault on purpose, for demos and drills."
)
PAPER_LOST_ANSWER_BPS: int = declare.number(
    "PAPER_LOST_ANSWER_BPS",
    default=0,
    unit="of 10,000 orders",
    meaning="Executed, the answer lost: a fault on purpose.",
)
PAPER_LOST_REQUEST_BPS: int = declare.number(
    "PAPER_LOST_REQUEST_BPS", default=0, unit="of 10,000 orders", meaning="Lost on the way: a fault on purpose."
)
