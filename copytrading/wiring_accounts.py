"""The composition root's part about accounts on the venue: their access, what they have, and who looks after them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from copytrading.accounts.approvals import ApprovalDoors, ShareApprovals
from copytrading.accounts.book import AccountBook, BookDoors
from copytrading.accounts.examination import Examiner, ExaminerDoors, Stopped
from copytrading.accounts.funds import AccountFunds, FundsDoors, FundsTerms
from copytrading.accounts.keeper import AccountKeeper, KeeperDoors
from copytrading.accounts.place import Place
from copytrading.accounts.readiness import Missing, missing, stopping
from copytrading.operations.account_states import AccountRow, account_rows, ensure_single_trader
from copytrading.wiring_signer import build_signer, build_vault, chosen_deployment, trading_address
from execution.clob.balances import Balances
from execution.clob.client import BODY_MAX, ClobClient, ClobSettings, clob_allowances
from execution.gamma import MarketDescription
from execution.gamma_client import GAMMA, open_markets
from execution.hosts import Host, HostDown
from execution.http import Http, SharedHttp
from execution.limits import Allowance, HostLimits, LimitSettings
from execution.orders import ExchangeDomain
from execution.ports import Signer
from execution.rpc import Rpc, RpcSettings, read_urls
from execution.signer.remote import RemoteSigner
from execution.vault.vault import PRIVATE_KEY, SecretMissing, Vault, VaultError, secret_name
from guardrails.stores.base import CounterStore
from ledger.clock import Clock, Randomness
from ledger.db import Database, ThreadedDatabase
from ledger.system import SeededRandomness, SystemClock

MS = 1_000

HOST = "clob-trading"
"""The name of these limits in the shared counters: reading markets has limits of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDoors:
    """The outside as accounts reach it, beside the network."""

    database: Database
    clock: Clock
    randomness: Randomness


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Everything about accounts: their access, what they have, and who examines and looks after them."""

    book: AccountBook
    funds: AccountFunds
    place: Place
    approvals: ShareApprovals
    examiner: Examiner
    keeper: AccountKeeper


def build_accounts(doors: AccountDoors, http: Http, *, client: ClobClient, signer: Signer) -> Accounts:
    """The accounts over these clients. Raises ImproperlyConfigured."""
    database, clock, vault, exchanges = doors.database, doors.clock, build_vault(), exchange_addresses()
    book = AccountBook(BookDoors(database=database, vault=vault, client=client, signer=signer))
    balances = Balances(client)
    funds = AccountFunds(
        FundsDoors(database=database, clock=clock, balances=balances, book=book, exchanges=exchanges),
        FundsTerms(ttl_ms=settings.TRADING_MONEY_TTL_MS, buy_wait_ms=settings.TRADING_MONEY_WAIT_MS),
    )
    place = Place(client, http, clock, geoblock_url=settings.TRADING_GEOBLOCK_URL, rpc=build_rpc(doors, http))
    approvals = ShareApprovals(
        ApprovalDoors(
            database=database,
            clock=clock,
            balances=balances,
            exchanges=exchanges,
            listed=_listed(doors, http),
        )
    )
    examiner = Examiner(
        ExaminerDoors(
            clock=clock,
            book=book,
            client=client,
            balances=balances,
            signer=signer,
            place=place,
            exchanges=exchanges,
            approvals=approvals,
            key_trouble=None if settings.SIGNER_SOCKET else _key_trouble(vault, database),
        )
    )
    keeper = AccountKeeper(KeeperDoors(database=database, clock=clock, book=book, examiner=examiner, funds=funds))
    return Accounts(book=book, funds=funds, place=place, approvals=approvals, examiner=examiner, keeper=keeper)


def build_client(doors: AccountDoors, http: Http, *, shards: int, counters: CounterStore | None) -> ClobClient:
    """The few calls of the CLOB, within the limits of the settings."""
    limits = HostLimits(
        doors.clock,
        doors.randomness,
        host=HOST,
        settings=LimitSettings(
            allowances=clob_allowances(
                trades=settings.CLOB_TRADES_COUNT,
                ledger=settings.CLOB_LEDGER_COUNT,
                balances=settings.CLOB_BALANCES_COUNT,
            ),
            share_percent=settings.CLOB_SHARE_PERCENT,
            shards=shards,
        ),
        counters=counters,
    )
    return ClobClient(
        http,
        doors.clock,
        limits=limits,
        settings=ClobSettings(
            base_url=settings.CLOB_URL,
            order_timeout_s=settings.CLOB_ORDER_TIMEOUT_MS / MS,
            read_timeout_s=settings.CLOB_READ_TIMEOUT_MS / MS,
        ),
    )


def exchange_addresses() -> Mapping[ExchangeDomain, str]:
    """Who takes the money of each kind of order. Raises ImproperlyConfigured."""
    found = chosen_deployment()
    return {
        ExchangeDomain.CTF_V2: found.exchange_v2,
        ExchangeDomain.NEG_RISK_V2: found.neg_risk_exchange_v2,
        ExchangeDomain.V3: found.exchange_v3,
    }


def ensure_trader() -> None:
    """The follower whose wallet is that of TRADING_PRIVATE_KEY has its account. Raises ImproperlyConfigured."""
    address = trading_address()
    if address:
        ensure_single_trader(address)


def _key_trouble(vault: Vault, database: Database) -> Callable[[str], Awaitable[str]]:
    async def trouble(signer: str) -> str:
        return await database.run(_opened, vault, secret_name(PRIVATE_KEY, signer))

    return trouble


def _opened(vault: Vault, name: str) -> str:
    """Why a stored key cannot be opened; empty when it can, or when it is none of ours. What is opened is let go."""
    try:
        vault.open(name)
    except SecretMissing:
        return ""
    except VaultError as error:
        return str(error)
    return ""


def _listed(doors: AccountDoors, http: Http) -> Callable[[str], Awaitable[list[MarketDescription]]]:
    """Open markets of Gamma: so seldom, and only while none is known here, that nobody else counts these questions."""
    allowances = (Allowance(kind=GAMMA, requests=settings.GAMMA_MARKETS_COUNT),)
    limits = HostLimits(doors.clock, doors.randomness, host="gamma", settings=LimitSettings(allowances=allowances))
    gamma = Host(http, limits, base_url=settings.GAMMA_URL, tries=1)

    async def listed(version: str) -> list[MarketDescription]:
        if limits.paused:
            # An account's look has better things to do than to wait out a pause.
            raise HostDown("gamma is left alone for a while")
        return await open_markets(gamma, version)

    return listed


def build_rpc(doors: AccountDoors, http: Http) -> Rpc | None:
    """The nodes of the chain; None where the settings name none. Raises ImproperlyConfigured."""
    if not settings.RPC_URLS:
        return None
    try:
        urls = read_urls(settings.RPC_URLS)
    except ValueError as error:
        raise ImproperlyConfigured(f"RPC_URLS: {error}") from None
    return Rpc(http, doors.clock, doors.randomness, urls=urls.calls, settings=RpcSettings(chain_id=settings.CHAIN_ID))


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """An account and everything that it lacks to trade, the first to be put right first."""

    row: AccountRow
    lacks: tuple[Missing, ...]


async def look_at_accounts(*, address: str = "") -> list[Looked]:
    """Examine every account, or that of one wallet or key, as the engine would. Raises ImproperlyConfigured."""
    clock, database, http = SystemClock(), ThreadedDatabase(1), SharedHttp(body_max=BODY_MAX)
    randomness = SeededRandomness(None)
    signer = await database.run(build_signer, database, clock)
    try:
        doors = AccountDoors(database=database, clock=clock, randomness=randomness)
        client = build_client(doors, http, shards=1, counters=None)
        accounts = await database.run(partial(build_accounts, doors, http, client=client, signer=signer))
        await database.run(ensure_trader)
        rows = await database.run(partial(account_rows, address=address))
        return [await _looked(accounts.examiner, row) for row in rows]
    finally:
        if isinstance(signer, RemoteSigner):
            await signer.close()
        await http.close()
        database.close()


async def _looked(examiner: Examiner, row: AccountRow) -> Looked:
    found = await examiner.examine(row)
    if isinstance(found, Stopped):
        return Looked(row=row, lacks=(stopping(found.why),))
    seen = replace(found, real_trading=bool(settings.ENABLE_REAL_TRADING), mode=row.mode, stopped_why=row.stopped_why)
    return Looked(row=row, lacks=missing(seen))
