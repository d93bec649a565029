"""One order, its account and its secrets, for the tests of the CLOB client."""

from typing import Any

from execution.clob.credentials import Access, ApiCredentials, CredentialBook
from execution.fees import FeeTerms
from execution.orders import ExchangeDomain, OrderDraft, OrderPlan, OrderType, build_plan
from execution.ports import OrderRef
from ledger.units import ONE, Micros, Side
from tests.doors import BEGINNING

SIGNER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
WALLET = "0x1111111111111111111111111111111111111111"
API_KEY = "0b1d3a52-0000-4000-8000-0123456789ab"
SECRET = "u9f2G1p0x-_AbCdEfGhIjKlMnOpQrStUvWxYz012345="
PASSPHRASE = "f00dfeed" * 8
TOKEN = 71321045679252212594626385532706912750332728571942532289631379312455583992563
FAY = 7
SIGNATURE = bytes(range(65))
FEE = FeeTerms(rate_bps=500)


def plan(**changes: Any) -> OrderPlan:
    """Fay buys 10 shares at 0.52 at most, FAK."""
    values: dict[str, Any] = {
        "domain": ExchangeDomain.CTF_V2,
        "maker": SIGNER,
        "signer": SIGNER,
        "signature_type": 0,
        "token_id": TOKEN,
        "side": Side.BUY,
        "size_micros": Micros(10 * ONE),
        "limit_micros": Micros(520_000),
        "tick_micros": Micros(10_000),
        "salt": 12_345,
        "timestamp_ms": int(BEGINNING.timestamp() * 1_000),
        "order_type": OrderType.FAK,
        "key": SIGNER,
    }
    return build_plan(OrderDraft(**{**values, **changes}))


def order_ref(order: OrderPlan) -> OrderRef:
    """The same order as it is asked about."""
    return OrderRef(
        order_hash=order.order_hash,
        follower_id=FAY,
        token_id=order.token_id,
        condition_id="0x" + "ab" * 32,
        side=order.side,
        size_micros=order.size_micros,
        since=BEGINNING,
    )


def credentials(**changes: str) -> ApiCredentials:
    """Fay's."""
    values = {"address": SIGNER, "api_key": API_KEY, "secret": SECRET, "passphrase": PASSPHRASE}
    return ApiCredentials(**{**values, **changes})


def access(**changes: Any) -> Access:
    """Fay's own account."""
    values: dict[str, Any] = {
        "credentials": credentials(),
        "wallet": SIGNER,
        "signer": SIGNER,
        "signature_type": 0,
    }
    return Access(**{**values, **changes})


class Book(CredentialBook):
    """Only Fay has an account."""

    def __init__(self) -> None:
        self.known: dict[int, Access] = {FAY: access()}

    async def of(self, follower_id: int) -> Access | None:
        """Her access."""
        return self.known.get(follower_id)


class Fees:
    """Every market's fee is 5 %, but for those that are not known."""

    def __init__(self) -> None:
        self.terms: FeeTerms | None = FEE
        self.unknown: set[int] = set()

    async def fee_terms(self, token_id: int) -> FeeTerms | None:
        """The one."""
        return None if token_id in self.unknown else self.terms


def trade_row(order_hash: str, **changes: Any) -> dict[str, Any]:
    """A trade in which an order took 6 shares at 0.51 and 4 at 0.52."""
    row: dict[str, Any] = {
        "id": "trade-1",
        "taker_order_id": order_hash,
        "market": "0x" + "ab" * 32,
        "asset_id": str(TOKEN),
        "side": "BUY",
        "size": "10",
        "price": "0.514",
        "fee_rate_bps": "1000",
        "status": "TRADE_STATUS_MATCHED",
        "match_time": str(int(BEGINNING.timestamp()) + 1),
        "owner": API_KEY,
        "maker_address": SIGNER,
        "transaction_hash": "0x" + "cd" * 32,
        "trader_side": "TAKER",
        "maker_orders": [maker_order("0x" + "01" * 32, "6", "0.51"), maker_order("0x" + "02" * 32, "4", "0.52")],
    }
    return {**row, **changes}


def maker_order(order_hash: str, amount: str, price: str, **changes: Any) -> dict[str, Any]:
    """What a resting order gave."""
    order = {
        "order_id": order_hash,
        "owner": "somebody",
        "maker_address": WALLET,
        "matched_amount": amount,
        "price": price,
        "fee_rate_bps": "0",
        "asset_id": str(TOKEN),
        "side": "SELL",
    }
    return {**order, **changes}
