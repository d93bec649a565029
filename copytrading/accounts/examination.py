"""Examines one account: its key, its access, what it has on the venue, and what the venue says against it.

Every answer is a value: the facts that readiness is found from, or the reason for which the account stops.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from copytrading.accounts.approvals import ShareApprovals
from copytrading.accounts.book import AccountBook, CredentialsLost
from copytrading.accounts.doubts import About, Doubt
from copytrading.accounts.place import Place
from copytrading.accounts.readiness import Examined
from copytrading.operations.account_states import AccountRow
from execution.clob.balances import Balances
from execution.clob.client import Balance, ClobClient
from execution.clob.credentials import Access
from execution.hosts import HostDown, HostRefused
from execution.orders import ExchangeDomain
from execution.ports import Login, Signer, SignerRefused
from ledger.clock import Clock

UNAUTHORISED = 401

KEY_AGAIN_S = 1.5
"""The signer reads its accounts once a second: one that was just made is not known to it before."""

RENEW_AGAIN_S = 300.0
"""A venue that gives credentials and soon refuses them again is not asked for more before: one pair is enough."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The account may not trade until a person looked at it. `revoked`: its key is no longer taken."""

    why: str
    revoked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExaminerDoors:
    """What is asked about an account. `key_trouble` says why a key that is kept here cannot be opened, empty when it
    can; None where another process keeps the keys.
    """

    clock: Clock
    book: AccountBook
    client: ClobClient
    balances: Balances
    signer: Signer
    place: Place
    exchanges: Mapping[ExchangeDomain, str]
    approvals: ShareApprovals
    key_trouble: Callable[[str], Awaitable[str]] | None = None


class Examiner:
    """Asks about accounts, one at a time for each; never raises for what the venue, the signer or a secret does."""

    def __init__(self, doors: ExaminerDoors) -> None:
        self._doors = doors
        self._renewed_ms: dict[str, float] = {}

    async def open(self, row: AccountRow, *, sealed_only: bool = False) -> Access | Stopped | str:
        """The account's access, or why it has none: a reason to stop it, or what may pass by itself, as a sentence."""
        try:
            return await self._doors.book.open(row, sealed_only=sealed_only) or "None are stored."
        except CredentialsLost as error:
            return Stopped(why=str(error))
        except SignerRefused as error:
            return str(error)
        except HostRefused as refused:
            return f"The venue answered {refused.status} to the key's login."
        except HostDown as error:
            return f"The venue gave none: {error}"

    async def examine(self, row: AccountRow, *, doubt: Doubt | None = None) -> Examined | Stopped:
        """All that readiness looks at; `doubt` is why it is looked at now.

        Of credentials the venue's answers to questions decide, whoever doubted them.
        """
        now = self._doors.clock.now()
        if row.session and row.session_valid_until is not None and row.session_valid_until <= now:
            return Stopped(why="Its session key has expired.", revoked=True)
        against = None if doubt is None else _said_against(row, doubt)
        if against is not None:
            return against
        lost = await self._lost_key(row.signer)
        if lost:
            return Stopped(why=lost)
        key_trouble = await self._key_trouble(row.signer)
        access = await self.open(row)
        if isinstance(access, Stopped):
            return access
        if isinstance(access, str):
            return await self._seen(row, None, key_trouble=key_trouble, credentials_trouble=access)
        return await self._with_access(row, access, key_trouble=key_trouble)

    async def money(self, row: AccountRow) -> int | None:
        """The account's pUSD as the venue has it now; None when it does not say."""
        access = await self._doors.book.of(row.follower_id)
        if access is None:
            return None
        balance = await self._collateral(access)
        return balance.micros if isinstance(balance, Balance) else None

    async def _with_access(self, row: AccountRow, access: Access, *, key_trouble: str) -> Examined | Stopped:
        balance = await self._collateral(access)
        if balance == UNAUTHORISED:
            # A clock that was moved looks the same as revoked credentials, and would stop every account.
            await self._doors.place.skew_s(fresh=True)
            balance = await self._collateral(access)
        if balance == UNAUTHORISED:
            renewed = await self._renewed(row)
            if not isinstance(renewed, Access):
                return (
                    renewed
                    if isinstance(renewed, Stopped)
                    else await self._seen(row, None, key_trouble=key_trouble, credentials_trouble=renewed)
                )
            access, balance = renewed, await self._collateral(renewed)
            if balance == UNAUTHORISED:
                # Whoever puts it right and starts the account again need not wait.
                self._renewed_ms.pop(row.signer, None)
                return Stopped(why="The venue refuses its credentials, also new ones.", revoked=row.session)
        closed_only = await self._closed_only(access)
        known = balance if isinstance(balance, Balance) else None
        seen = await self._seen(row, known, key_trouble=key_trouble, closed_only=closed_only)
        return replace(seen, sellable=await self._doors.approvals.of(access))

    async def _seen(
        self,
        row: AccountRow,
        balance: Balance | None,
        *,
        key_trouble: str,
        credentials_trouble: str = "",
        closed_only: bool | None = None,
    ) -> Examined:
        place, exchanges = self._doors.place, self._doors.exchanges
        allowed = balance.allowances if balance is not None else {}
        return Examined(
            now=self._doors.clock.now(),
            wallet=row.wallet,
            signer=row.signer,
            signature_type=row.signature_type,
            session_valid_until=row.session_valid_until,
            key_trouble=key_trouble,
            credentials_trouble=credentials_trouble,
            skew_s=await place.skew_s(),
            place_blocked=await place.blocked(),
            closed_only=closed_only,
            deployed=await place.deployed(row.wallet) if row.signature_type else None,
            balance_micros=balance.micros if balance is not None else None,
            allowances={domain: allowed.get(address, 0) for domain, address in exchanges.items()} if balance else None,
        )

    async def _lost_key(self, signer: str) -> str:
        return await self._doors.key_trouble(signer) if self._doors.key_trouble is not None else ""

    async def _key_trouble(self, signer: str) -> str:
        """Why the key does not sign a login, empty when it does: what it signs here is let go."""
        for last in (False, True):
            login = Login(address=signer, timestamp=self._doors.client.timestamp())
            try:
                await self._doors.signer.sign_login(login, key=signer)
            except SignerRefused as error:
                if last:
                    return str(error)
                await self._doors.clock.sleep(KEY_AGAIN_S)
            else:
                break
        return ""

    async def _collateral(self, access: Access) -> Balance | int | None:
        """The money, the status of a refusal, or None where the venue does not answer."""
        try:
            return await self._doors.balances.collateral(access)
        except HostRefused as refused:
            return refused.status
        except HostDown as error:
            log.info("A balance could not be read.", action="account", wallet=access.wallet, why=str(error))
            return None

    async def _renewed(self, row: AccountRow) -> Access | Stopped | str:
        now_ms, last_ms = self._doors.clock.monotonic_ms(), self._renewed_ms.get(row.signer)
        if last_ms is not None and now_ms - last_ms < RENEW_AGAIN_S * 1_000:
            return "The venue refuses those that it gave a moment ago; it is asked for others in some minutes."
        try:
            renewed = await self._doors.book.renew(row)
        except SignerRefused as error:
            return str(error)
        except HostRefused as refused:
            if refused.status == UNAUTHORISED:
                return Stopped(why="The venue refuses the key's login.", revoked=row.session)
            return f"The venue answered {refused.status} to the key's login."
        except HostDown as error:
            return f"The venue gave none: {error}"
        self._renewed_ms[row.signer] = now_ms
        return renewed

    async def _closed_only(self, access: Access) -> bool | None:
        try:
            return await self._doors.client.closed_only(access.credentials)
        except (HostDown, HostRefused):
            return None


def _said_against(row: AccountRow, doubt: Doubt) -> Stopped | None:
    """Why the doubt alone stops the account; None where the venue is to be asked."""
    if doubt.about is About.ACCOUNT:
        return Stopped(why=f"The venue refuses the account: {doubt.why}")
    if doubt.about is About.KEY and row.session:
        # Of a key that always signed well: its wallet no longer takes it (polymarket.md 7).
        return Stopped(why="The wallet no longer takes its session key.", revoked=True)
    return None
