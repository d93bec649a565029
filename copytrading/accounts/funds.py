"""What accounts have on the venue, for those who decide: money from memory while it is young, shares asked anew.

A purchase does not wait for the venue where an account traded lately: its money is read again in the background
before it is too old. A sale waits for one answer, because shares may have gone by another way than ours.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import structlog
from django.db import DatabaseError

from copytrading.operations.incidents import record_incidents
from copytrading.pauses import sleep_or_stop
from execution.accounts import AccountFacts, Holding, sellable, spendable
from execution.clob.balances import Balances
from execution.clob.client import Balance
from execution.clob.credentials import CredentialBook
from execution.hosts import HostDown, HostRefused
from execution.orders import ExchangeDomain
from execution.queries import reserved_shares
from guardrails.intents import Reason, Refusal, Unit
from ledger.clock import Clock
from ledger.db import Database
from ledger.units import SHARE_STEP, Micros

LOOK_S = 0.5
WARM_PART = 0.5
"""Money is read again at this part of its time, so that the answer is there before the old one is too old."""

HURRIED_PART = 0.75
"""Money that has moved counts as so much older. Before everything, busy accounts would let the others' grow too old."""

WARMED_AT_ONCE = 6
"""Twelve a second, of 20 balances that the venue grants one address (polymarket.md 3.5): sales need the rest."""

SELL_WAIT_MS = 2_000
"""A sale waits so long for the venue's shares, and goes by our books then: an exit must not get stuck."""

TOLD_MAX = 10_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FundsDoors:
    """Where balances come from, and who may take the money: the address of each exchange, in lower case."""

    database: Database
    clock: Clock
    balances: Balances
    book: CredentialBook
    exchanges: Mapping[ExchangeDomain, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FundsTerms:
    """How old an account's money may be for a purchase, and how long one waits for the venue's answer.

    With more accounts than can be read again in half of that time it may be as old as reading them all twice takes.
    """

    ttl_ms: int
    buy_wait_ms: int


@dataclass(slots=True)
class _Seen:
    """An account's money: the answer, when it was asked for, when it was last tried, and whether it is urgent."""

    balance: Balance | None = None
    asked_ms: float = float("-inf")
    tried_ms: float = float("-inf")
    hurry: bool = False


class AccountFunds:
    """`VenueFunds` over the balances of the venue; its service keeps the money of busy accounts young."""

    name = "funds"

    def __init__(self, doors: FundsDoors, terms: FundsTerms) -> None:
        self._doors, self._terms = doors, terms
        self._seen: dict[int, _Seen] = {}
        self._told: set[tuple[int, int, int]] = set()
        self._asking: set[asyncio.Task[None]] = set()

    async def of_buyers(self, accounts: Collection[AccountFacts]) -> Mapping[int, AccountFacts]:
        """The accounts with their money; None in one whose money could not be read in time."""
        now_ms = self._doors.clock.monotonic_ms()
        cold = [each.follower_id for each in accounts if not self._is_young(each.follower_id, now_ms)]
        if cold:
            await self._in_time(cold)
        return {each.follower_id: self._with_money(each) for each in accounts}

    async def of_sellers(self, wanted: Collection[Holding]) -> Mapping[tuple[int, int], Micros]:
        """How many of these free shares may be sold, by (follower, token)."""
        if not wanted:
            return {}
        holdings = list(wanted)
        asking = asyncio.gather(*(self._shares(each) for each in holdings))
        reserved = await self._doors.database.run(
            reserved_shares, {each.account.follower_id for each in holdings}, {each.token_id for each in holdings}
        )
        shares = await asking
        found = {}
        for each, venue_micros in zip(holdings, shares, strict=True):
            key = (each.account.follower_id, each.token_id)
            taken = reserved.get(key, 0)
            found[key] = sellable(each.free_micros, venue_micros, reserved_micros=taken)
            if venue_micros is not None and not taken and each.free_micros - venue_micros >= SHARE_STEP:
                await self._tell(each, venue_micros)
        return found

    def keep(self, follower_ids: Collection[int]) -> None:
        """The accounts whose money is kept young, from now on."""
        self._seen = {each: self._seen.get(each) or _Seen() for each in follower_ids}

    def changed(self, follower_id: int) -> None:
        """The money of this account has moved: it is read again soon, and believed until then.

        Our books know of the move already, and grants are made on them.
        """
        self._of(follower_id).hurry = True

    def forget(self, follower_id: int) -> None:
        """What is known of this account's money is wrong: the next purchase waits for the venue's word."""
        seen = self._of(follower_id)
        seen.asked_ms, seen.hurry = float("-inf"), True

    async def run(self, stop: asyncio.Event) -> None:
        """Keep young what is wanted, until stopped."""
        while not stop.is_set():
            await self.run_once()
            await sleep_or_stop(self._doors.clock, stop, LOOK_S)

    async def run_once(self) -> int:
        """Read again what will soon be too old, the oldest first; how many accounts were asked about."""
        now_ms, believed_ms = self._doors.clock.monotonic_ms(), self._believed_ms()
        due_ms, hurried_ms = believed_ms * WARM_PART, believed_ms * HURRIED_PART
        # What could not be read is tried again as often as what could be.
        age_ms = {
            key: now_ms - max(each.asked_ms, each.tried_ms) + (hurried_ms if each.hurry else 0.0)
            for key, each in self._seen.items()
        }
        due = sorted((key for key, age in age_ms.items() if age >= due_ms), key=age_ms.__getitem__, reverse=True)
        chosen = due[:WARMED_AT_ONCE]
        await asyncio.gather(*(self._refresh(key) for key in chosen))
        return len(chosen)

    def _believed_ms(self) -> float:
        """How old money may be: as set, or as reading everybody's twice takes."""
        return max(self._terms.ttl_ms, 2_000 * LOOK_S * len(self._seen) / WARMED_AT_ONCE)

    def _of(self, follower_id: int) -> _Seen:
        return self._seen.setdefault(follower_id, _Seen())

    def _is_young(self, follower_id: int, now_ms: float) -> bool:
        return now_ms - self._of(follower_id).asked_ms < self._believed_ms()

    async def _in_time(self, follower_ids: Iterable[int]) -> None:
        """Ask for all of them side by side; who is not there in time is asked on, for the next purchase."""
        asking = {asyncio.create_task(self._refresh(each), name="balance") for each in follower_ids}
        self._asking |= asking
        done, late = await asyncio.wait(asking, timeout=self._terms.buy_wait_ms / 1_000)
        for each in late:
            each.add_done_callback(self._asking.discard)
        self._asking -= done
        for each in done:
            each.result()

    async def _refresh(self, follower_id: int) -> None:
        clock, seen = self._doors.clock, self._of(follower_id)
        seen.tried_ms = asked_ms = clock.monotonic_ms()
        seen.hurry = False
        access = await self._doors.book.of(follower_id)
        if access is None:
            return
        try:
            balance = await self._doors.balances.collateral(access)
        except (HostDown, HostRefused) as error:
            log.warning("A balance could not be read.", action="balance", follower=follower_id, why=str(error))
            return
        if asked_ms > seen.asked_ms:
            seen.balance, seen.asked_ms = balance, asked_ms

    def _with_money(self, account: AccountFacts) -> AccountFacts:
        seen = self._of(account.follower_id)
        if seen.balance is None or not self._is_young(account.follower_id, self._doors.clock.monotonic_ms()):
            return account
        allowed = seen.balance.allowances
        return replace(
            account,
            available_micros=spendable(
                seen.balance.micros, booked_micros=account.booked_micros, reserved_micros=account.reserved_micros
            ),
            allowances={domain: allowed.get(address, 0) for domain, address in self._doors.exchanges.items()},
        )

    async def _shares(self, holding: Holding) -> int | None:
        access = await self._doors.book.of(holding.account.follower_id)
        if access is None:
            return None
        reading = self._doors.balances.shares(access, holding.token_id, version=holding.version)
        try:
            async with asyncio.timeout(SELL_WAIT_MS / 1_000):
                return (await reading).micros
        except (HostDown, HostRefused, TimeoutError) as error:
            log.warning(
                "Shares could not be read; the sale goes by our books.",
                action="balance",
                follower=holding.account.follower_id,
                why=str(error),
            )
            return None

    async def _tell(self, holding: Holding, venue_micros: int) -> None:
        """Once for each number that was seen: whoever sells in parts would tell it with every part."""
        key = (holding.account.follower_id, holding.token_id, venue_micros)
        if key in self._told or len(self._told) >= TOLD_MAX:
            return
        self._told.add(key)
        seen = Refusal(
            Reason.AUDIT_DIFFERENCE, venue_micros, holding.free_micros, Unit.SHARES, subject="shares on the venue"
        )
        try:
            await self._doors.database.run(
                record_incidents, [seen], subject=str(holding.account.follower_id), now=self._doors.clock.now()
            )
        except DatabaseError:
            self._told.discard(key)
            raise
