"""The settings of the books that orders are priced on, and of what stands in for them; see `config.engine`."""

from config.environment import declare

declare.group("Prices")

PAPER_BOOKS: str = declare.choice(
    "PAPER_BOOKS",
    default="LEADER",
    options=("LEADER", "VENUE"),
    meaning="What paper followers of the live sources trade on: books made around each leader's price, or those of the "
    "venue as they are. Real orders always see the venue's.",
)
COPY_TRADING_QUOTE_TTL_MS: int = declare.number(
    "COPY_TRADING_QUOTE_TTL_MS",
    default=1_500,
    unit="milliseconds",
    meaning="A fetched book is used for so long, and never for more than 5 s whatever is set here. One of the market "
    "channel counts from the last frame about its token, and for 5 s.",
)
COPY_TRADING_QUOTE_WAIT_MS: int = declare.number(
    "COPY_TRADING_QUOTE_WAIT_MS",
    default=1_500,
    unit="milliseconds",
    meaning="A batch waits so long for the books that it needs, all asked for at once; for what is missing then the "
    "leader's price stands in. An answer usually takes 20 to 100 ms.",
)
COPY_TRADING_FALLBACK_PRICE_MS: int = declare.number(
    "COPY_TRADING_FALLBACK_PRICE_MS",
    default=10_000,
    unit="milliseconds",
    meaning="Where there is no book, the leader's price stands in for so long after its trade, which is usually heard "
    "2 to 3 s old; copies are noted FALLBACK_PRICE. 0: never, such copies are SKIPPED (NO_LIQUIDITY).",
)
COPY_TRADING_FORCE_FALLBACK_PRICE: bool = declare.switch(
    "COPY_TRADING_FORCE_FALLBACK_PRICE",
    default=False,
    meaning="Price on the leader's price alone and ask for no book: for when the venue's books cannot be believed. The "
    "slippage still bounds every order.",
)
COPY_TRADING_BOOK_COMPARE_S: int = declare.number(
    "COPY_TRADING_BOOK_COMPARE_S",
    default=30,
    unit="seconds",
    meaning="A book of the market channel that is in use is held against a fetched one so often. One that is another "
    "is dropped and subscribed to anew.",
)
COPY_TRADING_BOOKS_COUNT: int = declare.number(
    "COPY_TRADING_BOOKS_COUNT",
    default=2_000,
    unit="books",
    meaning="Kept in memory of the market channel, and as many fetched ones; about 20 kB each.",
)
CLOB_BOOK_COUNT: int = declare.number(
    "CLOB_BOOK_COUNT", default=1_500, unit="requests in 10 s", meaning="What the CLOB lets one address ask for books."
)
