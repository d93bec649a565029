"""The few calls of the CLOB that trading needs: each asks once, within its time, and never again by itself.

An order is posted as the bytes it is given. What its answer means stands in `execution.clob.outcomes`; all other
calls answer decoded values or raise HostDown (no usable answer for now) and HostRefused (no, with its status).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from execution.clob.asking import JSON_TYPE, Asker, Question
from execution.clob.auth import l1_headers, l2_headers
from execution.clob.credentials import Access, ApiCredentials, CredentialsError, read_credentials
from execution.clob.numbers import NumberError, units_of, whole_of
from execution.hosts import HostDown, HostRefused
from execution.http import Answer, Http, MayLeave
from execution.limits import Allowance, HostLimits
from execution.ports import Login
from ledger.clock import Clock
from ledger.units import Micros

BODY_MAX = 8 * 1024 * 1024
"""Bytes of the longest answer that the pool of the CLOB takes: a page of trades is under one megabyte."""

PAGES_MAX = 100
"""Of one question for trades, of 100 rows and more: the audit asks for a whole day of an account."""

CANCELS_MAX = 1_000
"""Orders in one request (polymarket.md 3.2)."""

SKEW_BELIEVED_S = 86_400.0
"""A venue whose clock is further off says something else than its time: signing with that would lock everybody out."""

SKEW_TOLD_S = 2.0
"""The venue's time is in whole seconds; a smaller difference cannot be told from its rounding."""

START, END = "MA==", "LTE="
BAD_REQUEST, NOT_FOUND = 400, 404

TRADES, LEDGER, BALANCES, CANCELS, AUTH, GENERAL = "trades", "ledger", "balances", "cancels", "auth", "general"

_ORDER_ID = re.compile(r"0x[0-9a-f]{64}")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClobSettings:
    """Where the CLOB is, and for how long an order and every other question may take."""

    base_url: str
    order_timeout_s: float = 5.0
    read_timeout_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeFilter:
    """Which of an account's trades: one token's, since a Unix second (it included), or one by its id."""

    token_id: int | None = None
    after_s: int | None = None
    trade_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What became of orders that were to be cancelled: gone, or why not, by order hash in lower case."""

    gone: frozenset[str]
    kept: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What an account holds of one asset, and what each contract may take of it; micros, by lower-case address."""

    micros: Micros
    allowances: Mapping[str, Micros]


def clob_allowances(*, trades: int = 500, ledger: int = 900, balances: int = 200) -> tuple[Allowance, ...]:
    """What the CLOB grants one address in ten seconds, orders apart (polymarket.md 3.5)."""
    return (
        Allowance(kind=TRADES, requests=trades),
        Allowance(kind=LEDGER, requests=ledger),
        Allowance(kind=BALANCES, requests=balances),
        Allowance(kind=CANCELS, requests=2_000),
        Allowance(kind=AUTH, requests=100),
        Allowance(kind=GENERAL, requests=1_000),
    )


class TooManyTrades(HostDown):
    """They are more than one question may read: asking again is of no use, asking for fewer is."""


class ClobClient:
    """All accounts' requests over one pool. `limits` are those of `clob_allowances`; orders are counted elsewhere."""

    def __init__(self, http: Http, clock: Clock, *, limits: HostLimits, settings: ClobSettings) -> None:
        self._http, self._clock, self._order_timeout_s = http, clock, settings.order_timeout_s
        self._asker = Asker(http, clock, limits=limits, base_url=settings.base_url, timeout_s=settings.read_timeout_s)
        self._order_url = f"{settings.base_url.rstrip('/')}/order"

    def timestamp(self) -> int:
        """The venue's time in whole seconds, which a login attests."""
        return self._asker.timestamp()

    async def post_order(
        self, body: bytes, credentials: ApiCredentials, *, may_leave: MayLeave | None = None
    ) -> Answer:
        """Send these very bytes, once; the answer as it came. Raises HttpDown, NeverConnected when nothing left.

        `may_leave` is asked right before the first byte; it raises HeldBack when the answer is no.
        """
        headers = l2_headers(credentials, timestamp=self._asker.timestamp(), method="POST", path="/order", body=body)
        return await self._http.post(
            self._order_url,
            body=body,
            headers={**headers, **JSON_TYPE},
            timeout_s=self._order_timeout_s,
            may_leave=may_leave,
        )

    async def order(self, order_hash: str, credentials: ApiCredentials) -> Mapping[str, object] | None:
        """An order that the venue still holds; None when it shows none, which proves nothing."""
        if not _ORDER_ID.fullmatch(order_hash):
            raise ValueError("An order is asked about by its hash of 0x and 64 digits in lower case.")
        try:
            value = await self._asker.ask(
                Question(kind=LEDGER, path=f"/data/order/{order_hash}", credentials=credentials)
            )
        except HostRefused as refused:
            if refused.status == NOT_FOUND:
                return None
            raise
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise HostDown("The answer is no order.")
        # Some versions wrap it.
        inner = value.get("order", value)
        return inner if isinstance(inner, Mapping) and inner.get("id") else None

    async def trades(self, wanted: TradeFilter, credentials: ApiCredentials) -> tuple[Mapping[str, object], ...]:
        """The account's trade rows, all pages of them. Raises TooManyTrades beside what every call raises."""
        asked = {
            "id": wanted.trade_id,
            "asset_id": "" if wanted.token_id is None else str(wanted.token_id),
            "after": "" if wanted.after_s is None else str(wanted.after_s),
        }
        rows: list[Mapping[str, object]] = []
        cursor = START
        for _ in range(PAGES_MAX):
            query = {**{name: text for name, text in asked.items() if text}, "next_cursor": cursor}
            value = await self._asker.ask(
                # All questions below /data share a limit, beside that of their own (polymarket.md 3.5).
                Question(kind=TRADES, also=(LEDGER,), path="/data/trades", credentials=credentials, query=query)
            )
            page, following = _page(value)
            rows += page
            if following in ("", END, cursor):
                return tuple(rows)
            cursor = following
        raise TooManyTrades(f"There are more than {PAGES_MAX} pages of trades.")

    async def cancel(self, order_hashes: Sequence[str], credentials: ApiCredentials) -> Cancelled:
        """Let go of what rests of these orders, at most CANCELS_MAX."""
        if not 0 < len(order_hashes) <= CANCELS_MAX:
            raise ValueError(f"Between 1 and {CANCELS_MAX} orders are cancelled at once.")
        one = len(order_hashes) == 1
        path = "/order" if one else "/orders"
        body = msgspec.json.encode({"orderID": order_hashes[0]} if one else list(order_hashes))
        value = await self._asker.ask(
            Question(kind=CANCELS, path=path, method="DELETE", credentials=credentials, body=body)
        )
        if not isinstance(value, Mapping):
            raise HostDown("The answer to a cancel is no object.")
        gone, kept = value.get("canceled") or (), value.get("not_canceled") or {}
        if not isinstance(gone, list | tuple) or not isinstance(kept, Mapping):
            raise HostDown("The answer to a cancel cannot be read.")
        return Cancelled(
            gone=frozenset(str(each).lower() for each in gone),
            kept={str(name).lower(): str(why) for name, why in kept.items()},
        )

    async def collateral(self, access: Access) -> Balance:
        """The pUSD of an account's wallet."""
        return await self._balance(access, {"asset_type": "COLLATERAL"})

    async def shares(self, access: Access, token_id: int, *, version: str) -> Balance:
        """The shares of one token in an account's wallet; `version` is the market's, which says where they are."""
        return await self._balance(access, _share_query(token_id, version))

    async def look_again(self, access: Access, token_id: int | None = None, *, version: str = "") -> None:
        """Have the venue read an account's pUSD, or one token, and what may be taken of it from the chain anew."""
        asked = {"asset_type": "COLLATERAL"} if token_id is None else _share_query(token_id, version)
        asked["signature_type"] = str(access.signature_type)
        await self._asker.ask(
            Question(kind=BALANCES, path="/balance-allowance/update", credentials=access.credentials, query=asked)
        )

    async def closed_only(self, credentials: ApiCredentials) -> bool:
        """Whether the venue lets this account only close what it has."""
        value = await self._asker.ask(Question(kind=AUTH, path="/auth/ban-status/closed-only", credentials=credentials))
        found = value.get("closed_only") if isinstance(value, Mapping) else None
        if not isinstance(found, bool):
            raise HostDown("The answer does not say whether the account may only close.")
        return found

    async def derive_credentials(self, login: Login, signature: bytes) -> ApiCredentials | None:
        """Those that the venue already made for this key; None when there are none."""
        try:
            value = await self._asker.ask(
                Question(kind=AUTH, path="/auth/derive-api-key", headers=l1_headers(login, signature))
            )
        except HostRefused as refused:
            # The venue says 400 or 404 to a key that never asked; 401 is another trouble.
            if refused.status in (BAD_REQUEST, NOT_FOUND):
                return None
            raise
        return _credentials(value, login)

    async def create_credentials(self, login: Login, signature: bytes) -> ApiCredentials:
        """New ones. The venue refuses with 400 where there are some already."""
        value = await self._asker.ask(
            Question(kind=AUTH, path="/auth/api-key", method="POST", headers=l1_headers(login, signature))
        )
        return _credentials(value, login)

    async def time(self) -> int:
        """The venue's own time, in whole seconds."""
        value = await self._asker.ask(Question(kind=GENERAL, path="/time"))
        try:
            return whole_of(value)
        except NumberError:
            raise HostDown("The venue's time cannot be read.") from None

    async def measure_time(self) -> float:
        """Ask for the venue's time, sign with it from now on, and say by how many seconds it is ahead of ours.

        Requests are refused as unauthorised when their time is off. Raises HostDown, also for a time that is none.
        """
        began_ms = self._clock.monotonic_ms()
        seconds = await self.time()
        halfway_s = (self._clock.monotonic_ms() - began_ms) / 2_000
        # The middle of the second that the venue names.
        ahead_s = seconds + 0.5 + halfway_s - self._clock.now().timestamp()
        if abs(ahead_s) > SKEW_BELIEVED_S:
            raise HostDown("What the venue says is not its time.")
        self._asker.ahead_s = ahead_s if abs(ahead_s) > SKEW_TOLD_S else 0.0
        if self._asker.ahead_s:
            log.warning("The clock differs from the venue's.", action="clob-time", seconds=round(ahead_s, 1))
        return self._asker.ahead_s

    async def _balance(self, access: Access, query: Mapping[str, str]) -> Balance:
        asked = {**query, "signature_type": str(access.signature_type)}
        value = await self._asker.ask(
            Question(kind=BALANCES, path="/balance-allowance", credentials=access.credentials, query=asked)
        )
        if not isinstance(value, Mapping):
            raise HostDown("The answer is no balance.")
        allowances = value.get("allowances") or {}
        try:
            return Balance(
                micros=units_of(value.get("balance")),
                allowances={str(name).lower(): units_of(amount) for name, amount in dict(allowances).items()},
            )
        except (NumberError, TypeError, ValueError):
            raise HostDown("The balance cannot be read.") from None


def _share_query(token_id: int, version: str) -> dict[str, str]:
    return {"asset_type": "CONDITIONAL-V2" if version == "v2" else "CONDITIONAL", "token_id": str(token_id)}


def _credentials(value: object, login: Login) -> ApiCredentials:
    try:
        return read_credentials(value, address=login.address)
    except CredentialsError as error:
        raise HostDown(str(error)) from None


def _page(value: object) -> tuple[list[Mapping[str, object]], str]:
    """The rows of one page and the cursor of the next, empty behind the last."""
    following: object = ""
    if isinstance(value, Mapping):
        following = value.get("next_cursor") or ""
        value = value.get("data")
    listed = value if isinstance(value, list) else [value]
    rows = [row for row in listed if isinstance(row, Mapping)]
    if len(rows) < len(listed):
        raise HostDown("The answer is no page of trades.")
    return rows, following if isinstance(following, str) else ""
