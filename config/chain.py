"""The settings of the chain: nodes, contracts, and the sources that listen to them.

Declared as in `config.engine`, which says how; `config.settings` takes over every name of this file.
"""

from config.environment import declare

declare.group("Chain")

RPC_URLS: str = declare.secret(
    "RPC_URLS",
    default="",
    shown_default="none",
    meaning="Nodes of the chain, http(s) for calls and ws(s) for subscriptions, with commas between them, best first; "
    "at least one http(s), better two of different providers. Without ws(s) the head is asked for every 2 s.",
)
CHAIN_ID: int = declare.number(
    "CHAIN_ID",
    default=137,
    unit="chain id",
    meaning="Of all those nodes; one of another chain is refused. 137 is Polygon, 80002 its test net, others are "
    "refused: no contracts are published for them.",
)
COPY_TRADING_CHAIN_LOGS: bool | None = declare.switch_or_auto(
    "COPY_TRADING_CHAIN_LOGS",
    meaning="Hear leaders by the logs of the chain, the authority on what they did. `auto`: where RPC_URLS is set.",
)
COPY_TRADING_CHAIN_WALLETS_COUNT: int = declare.number(
    "COPY_TRADING_CHAIN_WALLETS_COUNT",
    default=300,
    unit="leaders",
    meaning="With more than these the logs of everybody are fetched and sorted out here: nodes bound the topics of a "
    "filter, and the venue makes some 30 fills a second.",
)
COPY_TRADING_CHAIN_SILENT_S: int = declare.number(
    "COPY_TRADING_CHAIN_SILENT_S",
    default=15,
    unit="seconds",
    meaning="Without a new head for so long, a subscription is dropped for the next node. Blocks come every 1.5 s.",
)
COPY_TRADING_CHAIN_RECONCILE_S: int = declare.number(
    "COPY_TRADING_CHAIN_RECONCILE_S",
    default=30,
    unit="seconds",
    meaning="Between looks at the health of all nodes, each with a second reading of the newest 32 blocks.",
)
COPY_TRADING_CHAIN_DEPTH_COUNT: int = declare.number(
    "COPY_TRADING_CHAIN_DEPTH_COUNT",
    default=128,
    unit="blocks",
    meaning="So many under the head can still be undone, and are remembered. Since Rio two are claimed to be the most; "
    "before it tens were seen.",
)
COPY_TRADING_CHAIN_BACKFILL_COUNT: int = declare.number(
    "COPY_TRADING_CHAIN_BACKFILL_COUNT",
    default=20_000,
    unit="blocks",
    meaning="At a restart so many are read at most; older ones are counted as missed, with an event. 8 hours.",
)
COPY_TRADING_CHAIN_BACKFILL_S: int = declare.number(
    "COPY_TRADING_CHAIN_BACKFILL_S",
    default=21_600,
    unit="seconds",
    meaning="The same bound as an age. What is so old is too stale to copy, and only keeps holdings right.",
)
COPY_TRADING_MEMPOOL: bool = declare.switch(
    "COPY_TRADING_MEMPOOL",
    default=False,
    meaning="Experimental: copy leaders' trades from pending transactions, before they are mined. One that fails or "
    "vanishes stays copied and is marked. Needs a ws(s) address in RPC_URLS whose node shows its mempool.",
)
COPY_TRADING_MEMPOOL_BLOCKS_COUNT: int = declare.number(
    "COPY_TRADING_MEMPOOL_BLOCKS_COUNT",
    default=20,
    unit="blocks",
    meaning="A pending transaction that is not mined after so many has vanished.",
)

# What stands at another address than the published one: in a sandbox, or after the venue moved.

CONTRACT_EXCHANGE_V2: str = declare.text(
    "CONTRACT_EXCHANGE_V2", default="", meaning="Address of CTF Exchange V2; empty: the published one."
)
CONTRACT_NEG_RISK_EXCHANGE_V2: str = declare.text(
    "CONTRACT_NEG_RISK_EXCHANGE_V2", default="", meaning="Address of NegRisk CTF Exchange V2; empty: the published one."
)
CONTRACT_EXCHANGE_V3: str = declare.text(
    "CONTRACT_EXCHANGE_V3", default="", meaning="Address of Exchange V3; empty: the published one."
)
CONTRACT_EXCHANGE_V1: str = declare.text(
    "CONTRACT_EXCHANGE_V1", default="", meaning="Address of CTF Exchange V1; empty: the published one."
)
CONTRACT_NEG_RISK_EXCHANGE_V1: str = declare.text(
    "CONTRACT_NEG_RISK_EXCHANGE_V1", default="", meaning="Address of NegRisk CTF Exchange V1; empty: the published one."
)
CONTRACT_CONDITIONAL_TOKENS: str = declare.text(
    "CONTRACT_CONDITIONAL_TOKENS", default="", meaning="Address of ConditionalTokens; empty: the published one."
)
CONTRACT_POSITION_MANAGER: str = declare.text(
    "CONTRACT_POSITION_MANAGER", default="", meaning="Address of PositionManager; empty: the published one."
)
CONTRACT_COLLATERAL: str = declare.text(
    "CONTRACT_COLLATERAL", default="", meaning="Address of pUSD; empty: the published one."
)
CONTRACT_USDC_E: str = declare.text(
    "CONTRACT_USDC_E", default="", meaning="Address of USDC.e; empty: the published one."
)
CONTRACT_CTF_COLLATERAL_ADAPTER: str = declare.text(
    "CONTRACT_CTF_COLLATERAL_ADAPTER", default="", meaning="Address of CtfCollateralAdapter; empty: the published one."
)
CONTRACT_NEG_RISK_COLLATERAL_ADAPTER: str = declare.text(
    "CONTRACT_NEG_RISK_COLLATERAL_ADAPTER",
    default="",
    meaning="Address of NegRiskCollateralAdapter; empty: the published one.",
)
CONTRACT_NEG_RISK_ADAPTER: str = declare.text(
    "CONTRACT_NEG_RISK_ADAPTER", default="", meaning="Address of NegRiskAdapter V1; empty: the published one."
)
CONTRACT_ROUTER: str = declare.text(
    "CONTRACT_ROUTER", default="", meaning="Address of the Protocol V2 Router; empty: the published one."
)
CONTRACT_AUTO_REDEEMER: str = declare.text(
    "CONTRACT_AUTO_REDEEMER", default="", meaning="Address of the AutoRedeemer; empty: the published one."
)
