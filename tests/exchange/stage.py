"""Accounts on a sandbox without an engine: who looks after them, and the venue's truth."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from copytrading.verification.checks import in_force
from copytrading.verification.exchange import SEED, Trader, Who, admit, cast, settings_for
from copytrading.verification.timed_venue import TimedHttp
from copytrading.wiring_accounts import AccountDoors, Accounts, build_accounts, build_client
from copytrading.wiring_signer import build_signer
from execution.clob.client import ClobClient
from execution.models import TradingAccount
from execution.sandbox.sandbox import Sandbox, SandboxOptions, open_sandbox
from ledger.db import ThreadedDatabase
from ledger.system import SeededRandomness, SystemClock

FAY, SAM = Who(name="Fay"), Who(name="Sam", session=True)
OPTIONS = SandboxOptions(seed=SEED, leaders=1, rate=0, delay_factor=0, limited=False, opening=False)


@dataclass(slots=True, kw_only=True)
class AccountStage:
    """A process that looks after the accounts of Fay, who has her own key, and Sam, who has a session key."""

    box: Sandbox
    traders: Mapping[str, Trader]
    database: ThreadedDatabase
    http: TimedHttp
    client: ClobClient
    accounts: Accounts

    async def restart(self) -> None:
        """Another process: what was in memory is gone."""
        self.client, self.accounts = await self.database.run(_accounts, self.database, self.http)

    async def row(self, name: str) -> TradingAccount:
        """The account as its row has it."""
        return await self.database.run(TradingAccount.objects.get, follower_id=self.traders[name].follower_id)

    async def states(self) -> dict[str, str]:
        """Whether each is ACTIVE or STOPPED."""
        return {name: (await self.row(name)).state for name in self.traders}


@asynccontextmanager
async def account_stage() -> AsyncIterator[AccountStage]:
    """The stage; nothing was looked at yet."""
    people, database, http = (FAY, SAM), ThreadedDatabase(1), TimedHttp()
    async with open_sandbox(SystemClock(), SeededRandomness, OPTIONS) as box:
        with pointed(settings_for(box)):
            try:
                traders = await database.run(cast, box.leaders[0].wallet, people)
                for who in people:
                    admit(box, traders[who.name], who)
                client, accounts = await database.run(_accounts, database, http)
                yield AccountStage(
                    box=box, traders=traders, database=database, http=http, client=client, accounts=accounts
                )
            finally:
                await http.close()
                database.close()


@contextmanager
def pointed(values: Mapping[str, Any]) -> Iterator[None]:
    """These settings hold meanwhile."""
    with in_force(values):
        yield


def _accounts(database: ThreadedDatabase, http: TimedHttp) -> tuple[ClobClient, Accounts]:
    doors = AccountDoors(database=database, clock=SystemClock(), randomness=SeededRandomness(1))
    client = build_client(doors, http, shards=1, counters=None)
    return client, build_accounts(doors, http, client=client, signer=build_signer(database, doors.clock))
