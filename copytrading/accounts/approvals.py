"""Whether the exchanges may move the shares of accounts: asked of the venue, seldom, and remembered.

Without it an account can buy and cannot sell. The leave is given to an exchange for all tokens of a contract at once
(setApprovalForAll), so that the venue's word on any token that is traded there tells it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from execution.clob.balances import Balances
from execution.clob.credentials import Access
from execution.gamma import MarketDescription
from execution.gamma_client import V1, V2
from execution.hosts import HostDown, HostRefused
from execution.orders import ExchangeDomain
from execution.queries import ShareToken, tokens_of_exchanges
from ledger.clock import Clock
from ledger.db import Database
from ledger.shared_run import SharedRun

REMEMBERED_MS = 180_000
"""A leave that was given is believed for so long, and so is that the venue does not say; one that is missing is asked
about at every look. That is a question a minute for each account."""

TOKENS_MS = 300_000
"""The tokens that are asked about are chosen anew after this: their markets end."""

TOKENS_AGAIN_MS = 60_000
"""The same where the venue could not list any."""

Listed = Callable[[str], Awaitable[list[MarketDescription]]]
"""Some open markets of a version, from the venue. Raises HostDown and HostRefused."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDoors:
    """Where it is asked; `exchanges` are the addresses, in lower case. `listed` serves while no market is known."""

    database: Database
    clock: Clock
    balances: Balances
    exchanges: Mapping[ExchangeDomain, str]
    listed: Listed


@dataclass(frozen=True, slots=True)
class _Word:
    """What the venue said when, None when it did not name the exchange."""

    allowed: bool | None
    asked_ms: float


class ShareApprovals:
    """The venue's newest word on each account and exchange; never raises for what the venue does."""

    def __init__(self, doors: ApprovalDoors) -> None:
        self._doors = doors
        self._words: dict[tuple[str, ExchangeDomain], _Word] = {}
        self._tokens: Mapping[ExchangeDomain, ShareToken] = {}
        self._choose_at_ms: float | None = None
        self._choosing = SharedRun(self._choose, name="share-tokens")

    async def of(self, access: Access) -> Mapping[ExchangeDomain, bool]:
        """Whether each exchange may move this wallet's shares; those that nobody could say it of are left out."""
        wallet = access.wallet.lower()
        if self._choose_at_ms is None or self._doors.clock.monotonic_ms() >= self._choose_at_ms:
            await self._choosing.join()
        for domain, token in self._tokens.items():
            if not self._is_known(self._words.get((wallet, domain))):
                await self._ask(access, domain, token)
        found = {domain: self._words.get((wallet, domain)) for domain in ExchangeDomain}
        return {domain: word.allowed for domain, word in found.items() if word is not None and word.allowed is not None}

    def forget(self, wallet: str) -> None:
        """The venue refused a sale of this wallet's: the next look asks anew."""
        for domain in ExchangeDomain:
            self._words.pop((wallet.lower(), domain), None)

    def _is_known(self, word: _Word | None) -> bool:
        if word is None or word.allowed is False:
            return False
        return self._doors.clock.monotonic_ms() - word.asked_ms < REMEMBERED_MS

    async def _ask(self, access: Access, domain: ExchangeDomain, token: ShareToken) -> None:
        asked_ms = self._doors.clock.monotonic_ms()
        try:
            balance = await self._doors.balances.shares(access, token.token_id, version=token.version)
        except (HostDown, HostRefused) as error:
            # What it said before stands until it says something else.
            log.info("An approval could not be read.", action="account", wallet=access.wallet, why=str(error))
            return
        allowance = balance.allowances.get(self._doors.exchanges[domain])
        allowed = None if allowance is None else allowance > 0
        self._words[access.wallet.lower(), domain] = _Word(allowed, asked_ms)

    async def _choose(self) -> None:
        """A token of an open market for each exchange, where one is known here or listed by the venue."""
        known, again_ms = await self._doors.database.run(tokens_of_exchanges), TOKENS_MS
        try:
            for version, domains in _DOMAINS.items():
                if not all(domain in known for domain in domains):
                    known = {**_of_listed(await self._doors.listed(version), version), **known}
        except (HostDown, HostRefused) as error:
            again_ms = TOKENS_AGAIN_MS
            log.info("The venue lists no markets.", action="account", why=str(error))
        self._tokens = {**self._tokens, **known}
        self._choose_at_ms = self._doors.clock.monotonic_ms() + again_ms


_DOMAINS: Mapping[str, tuple[ExchangeDomain, ...]] = {
    V1: (ExchangeDomain.CTF_V2, ExchangeDomain.NEG_RISK_V2),
    V2: (ExchangeDomain.V3,),
}


def _of_listed(markets: list[MarketDescription], version: str) -> dict[ExchangeDomain, ShareToken]:
    found: dict[ExchangeDomain, ShareToken] = {}
    for each in markets:
        if each.tokens is None or (each.version or V1) != version or (version == V1 and each.neg_risk is None):
            continue
        domain = ExchangeDomain.V3 if version == V2 else _DOMAINS[V1][bool(each.neg_risk)]
        found.setdefault(domain, ShareToken(each.tokens[0], version))
    return found
