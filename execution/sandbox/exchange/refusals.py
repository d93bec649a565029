"""What the private CLOB says when it will not: the texts of polymarket.md 3.4, and the error that carries them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from execution.sandbox.clob_books import number
from execution.sandbox.serving import Reply, encode

NOT_FILLED_FOK = "order couldn't be fully filled. FOK orders are fully filled or killed."
NOT_FILLED_FAK = (
    "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found."
)
UNAUTHORIZED = "Unauthorized/Invalid api key"
INVALID_L1 = "Invalid L1 Request headers"
INVALID_PAYLOAD = "Invalid order payload"
INVALID_SIGNATURE = "invalid signature"
INVALID_EXPIRATION = "invalid expiration"
VERSION_MISMATCH = "order_version_mismatch"
OLD_VERSION = "invalid order version, please use the latest clob-client"
MAKER_NOT_ALLOWED = "maker address not allowed"
WRONG_SIGNER = "the order signer address has to be the address of the API KEY"
WRONG_OWNER = "the order owner has to be the owner of the API KEY"
CROSSES = "invalid post-only order: order crosses book"
NOT_READY = "the market is not yet ready to process new orders"
RESTARTING = "service not ready"
POST_ONLY = "post-only mode: only post-only orders and cancels are allowed"
CANCEL_ONLY = "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed."
DISABLED = "Trading is currently disabled. Check polymarket.com for updates"
NOT_RUN = "could not run the execution"
TIMED_OUT = "order timed out"


@dataclass(slots=True, eq=False)
class Refused(Exception):
    """A definite no: its status, its text, and what else stands in the body and the headers."""

    text: str
    status: int = 400
    more: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text

    def reply(self) -> Reply:
        """As the venue answers it."""
        body = encode({"error": self.text, **self.more})
        return Reply(status=self.status, body=body, headers=self.headers)


def unauthorized() -> Refused:
    """Key, passphrase, time or signature of the request are wrong; which of them is not said."""
    return Refused(UNAUTHORIZED, 401)


def duplicated(order_hash: str) -> Refused:
    """The very same order was taken before."""
    return Refused(f"order {order_hash} is invalid. Duplicated.")


def off_tick(order_hash: str, price_micros: int, tick_micros: int) -> Refused:
    """The price is no multiple of the tick, or outside of (0, 1)."""
    price, tick = number(price_micros), number(tick_micros)
    return Refused(f"order {order_hash} is invalid. Price ({price}) breaks minimum tick size rule: {tick}")


def too_small(order_hash: str, shares_micros: int, minimum_micros: int) -> Refused:
    """An order that would rest has too few shares."""
    size, minimum = number(shares_micros), number(minimum_micros)
    return Refused(f"order {order_hash} is invalid. Size ({size}) lower than the minimum: {minimum}")


def too_little_money(amount_micros: int) -> Refused:
    """A buyer who would match at once wants less than a dollar's worth."""
    cents = amount_micros // 10_000
    return Refused(f"invalid amount for a marketable BUY order (${cents // 100}.{cents % 100:02d}), min size: $1")


def too_fine(side: str, decimals: int) -> Refused:
    """Amounts of an order that is filled at once or killed have more decimals than the venue can settle."""
    words = "market buy" if side == "BUY" else "sell"
    return Refused(
        f"invalid amounts, the {words} orders maker amount supports a max accuracy of 2 decimals,"
        f" taker amount a max of {decimals} decimals"
    )


def not_enough(what: str, held_micros: int, *, open_orders_micros: int, order_micros: int) -> Refused:
    """`what` is "balance" or "allowance"."""
    return Refused(
        f"not enough balance / allowance: the {what} is not enough -> {what}: {held_micros},"
        f" sum of active orders: {open_orders_micros}, order amount: {order_micros}"
    )


def banned(address: str) -> Refused:
    """The venue wants no orders of this address."""
    return Refused(f"'{address}' address banned")


def closed_only(address: str) -> Refused:
    """The address may only sell."""
    return Refused(f"'{address}' address in closed only mode")


def no_book(token_id: int) -> Refused:
    """No open market has this token."""
    return Refused(f"the orderbook {token_id} does not exist")


def too_many_orders(count: int, most: int) -> Refused:
    """A batch is too long."""
    return Refused(f"Too many orders in payload: {count}, max allowed: {most}")
