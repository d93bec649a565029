"""The composition root's part about approvals: what `approveaccount` asks the chain and has sent, from the settings."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from copytrading.accounts.approving import Approver, ApproverDoors, NotApproved, Say
from copytrading.operations.account_states import AccountRow, account_rows
from copytrading.operations.accounts import note_approvals
from copytrading.sources.checks import is_here
from copytrading.wiring_accounts import AccountDoors, build_accounts, build_client, build_rpc, ensure_trader
from copytrading.wiring_exchange import refuse_real_trading
from copytrading.wiring_signer import build_signer, chosen_deployment
from execution.approvals import UNLIMITED, needed_approvals, sentence_of
from execution.clob.client import BODY_MAX
from execution.clob.credentials import Access
from execution.hosts import HostDown, HostRefused
from execution.http import Http, SharedHttp
from execution.ports import Signer
from execution.queries import tokens_of_exchanges
from execution.rpc import read_urls
from execution.signer.remote import RemoteSigner
from execution.transactions import SendingTerms, Transactions
from ledger.db import ThreadedDatabase
from ledger.system import SeededRandomness, SystemClock
from ledger.units import ONE

EOA = 0
SANDBOX_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who asked: how they are told, and whether they agree that so many transactions are sent; None: a dry run."""

    name: str
    say: Say
    agrees: Callable[[int], bool] | None


async def approve_account(address: str, person: Person) -> None:
    """Give the missing approvals of the account with this wallet. Raises NotApproved and ImproperlyConfigured."""
    database, http = ThreadedDatabase(1), SharedHttp(body_max=BODY_MAX)
    signer: Signer | None = None
    try:
        if person.agrees is not None:
            await database.run(refuse_to_send)
        doors = AccountDoors(database=database, clock=SystemClock(), randomness=SeededRandomness(None))
        signer = await database.run(build_signer, database, doors.clock)
        await database.run(ensure_trader)
        row = _eoa(await database.run(partial(account_rows, address=address)), address)
        approver = _approver(doors, http, signer)
        if await _given(approver, row, person, database) and person.agrees is not None:
            await _tell_venue(doors, http, signer=signer, row=row, say=person.say)
    finally:
        if isinstance(signer, RemoteSigner):
            await signer.close()
        await http.close()
        database.close()


def refuse_to_send() -> None:
    """Raise ImproperlyConfigured, with a sentence, where no transaction may be sent as things are set."""
    if settings.ENABLE_REAL_TRADING:
        refuse_real_trading()
    elif not _is_sandbox():
        raise ImproperlyConfigured(
            "Transactions cost real money: set ENABLE_REAL_TRADING=true for this command. Without it they are sent on "
            "a sandbox alone, where CLOB_URL and RPC_URLS are of this machine."
        )


async def _given(approver: Approver, row: AccountRow, person: Person, database: ThreadedDatabase) -> bool:
    """Whether all are given in the end; False after a dry run that found some missing."""
    missing = await approver.missing(row.wallet)
    if not missing:
        person.say(f"{row.wallet} has every approval that trading needs.")
        return True
    for name, approval in missing.items():
        person.say(f"{row.wallet} lacks {name}: {sentence_of(approval)}.")
    if person.agrees is None:
        return False
    sender = await approver.sender(row.wallet)
    if not person.agrees(len(missing)):
        raise NotApproved("Nothing was sent.")
    note = partial(note_approvals, first_nonce=sender.nonce, chain_id=settings.CHAIN_ID, actor=person.name)
    await database.run(note, row.follower_id, list(missing))
    await approver.give(row.wallet, missing, sender=sender, say=person.say)
    person.say(f"{row.wallet} has every approval that trading needs now.")
    return True


def _eoa(rows: list[AccountRow], address: str) -> AccountRow:
    """The account whose wallet this is, when it is its own key. Raises NotApproved."""
    found = [each for each in rows if each.wallet == address]
    if not found:
        raise NotApproved("No trading account has this wallet. `manage.py addaccount` makes one.")
    row = found[0]
    if row.signature_type != EOA or row.session or row.signer != row.wallet:
        raise NotApproved(
            f"The account of {row.wallet} is no EOA: its owner enables trading on the venue's site, which approves."
        )
    if row.stopped_why is not None:
        raise NotApproved(f"The account of {row.wallet} is stopped: {row.stopped_why}")
    return row


def _approver(doors: AccountDoors, http: Http, signer: Signer) -> Approver:
    rpc, deployment = build_rpc(doors, http), chosen_deployment()
    if rpc is None:
        raise ImproperlyConfigured("RPC_URLS is not set: approvals are read from the chain and sent to it.")
    if not deployment.collateral:
        raise ImproperlyConfigured(f"The address of pUSD on chain {settings.CHAIN_ID} is unknown: CONTRACT_COLLATERAL.")
    amount = settings.SIGNER_MAX_APPROVAL_USD * ONE or UNLIMITED
    terms = SendingTerms(chain_id=settings.CHAIN_ID)
    if _is_sandbox():
        terms = SendingTerms(chain_id=settings.CHAIN_ID, poll_s=SANDBOX_POLL_S)
    return Approver(
        ApproverDoors(
            clock=doors.clock,
            rpc=rpc,
            transactions=Transactions(rpc, doors.clock, terms),
            signer=signer,
            needed=needed_approvals(deployment, amount=amount),
            # What is left of an approval must pay for the largest order that the signer signs.
            enough_micros=min(amount, settings.SIGNER_MAX_ORDER_USD * ONE),
        )
    )


async def _tell_venue(doors: AccountDoors, http: Http, *, signer: Signer, row: AccountRow, say: Say) -> None:
    """Have the venue look at the chain again; it does so by itself too, only later."""
    client = await doors.database.run(partial(build_client, doors, http, shards=1, counters=None))
    accounts = await doors.database.run(partial(build_accounts, doors, http, client=client, signer=signer))
    access = await accounts.examiner.open(row)
    try:
        if isinstance(access, Access):
            await client.look_again(access)
            for token in (await doors.database.run(tokens_of_exchanges)).values():
                await client.look_again(access, token.token_id, version=token.version)
    except (HostDown, HostRefused) as error:
        say(f"The venue could not be told: {error}")
    say("`manage.py checkreadiness` says what the venue sees of it.")


def _is_sandbox() -> bool:
    """Whether venue and chain are both of this machine: then nothing that is sent costs anything."""
    try:
        urls = (*read_urls(settings.RPC_URLS).calls, settings.CLOB_URL)
    except ValueError:
        return False
    return all(is_here(urlsplit(url)) for url in urls)
