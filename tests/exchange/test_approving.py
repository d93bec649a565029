"""`manage.py approveaccount` on the sandbox's chain: approvals are mined, and an account that lacked them is ready."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from copytrading.accounts.readiness import Part
from copytrading.verification.exchange import Trader, admit, cast, settings_for
from copytrading.wiring_accounts import look_at_accounts
from copytrading.wiring_signer import build_local_signer
from execution.deployments import PUBLISHED
from execution.sandbox.chain_doors import chain_doors
from execution.sandbox.on_chain import OnChain, OnChainSettings
from execution.sandbox.sandbox import Sandbox, open_sandbox
from execution.signer.server import SignerServer
from ledger.db import ThreadedDatabase
from ledger.models import AuditEntry
from ledger.system import SeededRandomness, SystemClock
from ledger.units import ONE
from tests.exchange.stage import FAY, OPTIONS, SAM, pointed
from tests.sandbox.chain_stage import needs_chain

pytestmark = [needs_chain, pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

APPROVALS = {Part.ALLOWANCE, Part.SHARES}
OLDER = "0xE111180000d2663C0091e4f400237545B87B996B"


@dataclass(slots=True, kw_only=True)
class ChainScene:
    """Fay with her own key and Sam with a session key; the exchanges may take nothing of Fay's."""

    box: Sandbox
    chain: OnChain
    fay: Trader
    sam: Trader
    database: ThreadedDatabase

    async def command(self, *words: str, wallet: str = "") -> str:
        """What `approveaccount` says for Fay; the sandbox goes on meanwhile."""
        return await asyncio.to_thread(_run, "--wallet", wallet or self.fay.wallet, *words)

    async def lacks(self) -> list[tuple[Part, str]]:
        """The approvals that readiness misses, with the next step."""
        (seen,) = await look_at_accounts(address=self.fay.wallet)
        return [(each.part, each.next) for each in seen.lacks if each.part in APPROVALS]

    async def notes(self) -> list[AuditEntry]:
        """What people did with approvals."""
        return await self.database.run(lambda: list(AuditEntry.objects.filter(action="approve")))

    async def sent(self) -> int:
        """How many transactions of Fay's are mined."""
        return await self.chain.node.number("eth_getTransactionCount", self.fay.wallet, "latest")


@asynccontextmanager
async def chain_scene(**values: Any) -> AsyncIterator[ChainScene]:
    clock, database = SystemClock(), ThreadedDatabase(1)
    chain = OnChain(clock, OnChainSettings(block_ms=30))
    doors = chain_doors(chain, providers=1)
    async with open_sandbox(clock, SeededRandomness, OPTIONS, settlement=chain, attachment=doors) as box:
        nodes = {"RPC_URLS": box.environment()["RPC_URLS"], "ENABLE_REAL_TRADING": False}
        with pointed({**settings_for(box), **nodes, **values}):
            try:
                traders = await database.run(cast, box.leaders[0].wallet, [FAY, SAM])
                for who in (FAY, SAM):
                    admit(box, traders[who.name], who)
                fay = traders["Fay"]
                box.exchange.allow(fay.wallet, 0)
                await box.exchange.give_pol(fay.wallet)
                yield ChainScene(box=box, chain=chain, fay=fay, sam=traders["Sam"], database=database)
            finally:
                database.close()


def _run(*words: str) -> str:
    out = StringIO()
    try:
        call_command("approveaccount", *words, stdout=out)
    except CommandError as error:
        out.write(f"CommandError: {error}")
    finally:
        connections.close_all()
    return out.getvalue()


class Terminal(StringIO):
    """Somebody types."""

    def isatty(self) -> bool:
        return True


async def test_missing_approvals_are_mined_one_by_one_and_the_account_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chain_scene() as on:
        lacks = await on.lacks()
        assert [part for part, _next in lacks] == [Part.ALLOWANCE] * 3 + [Part.SHARES] * 3
        assert all(f"`manage.py approveaccount --wallet {on.fay.wallet}`" in step for _part, step in lacks)

        told = await on.command("--dry-run")
        assert (told.count("lacks pUSD for"), told.count("lacks shares for")) == (3, 4)
        monkeypatch.setattr(sys, "stdin", Terminal("no\n"))
        told = await on.command()
        assert "Send 7 transactions, whose fees the wallet pays?" in told and "Nothing was sent." in told
        assert (await on.sent(), await on.notes()) == (0, [])

        told = await on.command("--yes")
        assert (told.count("mined in block"), await on.sent()) == (7, 7)
        assert "has every approval that trading needs now." in told
        assert await on.lacks() == []
        assert all(one == (2**256 - 1, True) for one in (await on.chain.approvals(on.fay.wallet)).values())
        (note,) = await on.notes()
        assert (note.actor, sorted(note.after["nonces"].values())) == ("manage.py approveaccount", list(range(7)))

        told = await on.command("--yes")
        assert f"{on.fay.wallet} has every approval that trading needs." in told
        assert (await on.sent(), len(await on.notes())) == (7, 1)
        assert "is no EOA" in await on.command("--yes", wallet=on.sam.wallet)


async def test_a_bounded_approval_is_signed_behind_the_socket_and_renewed_when_it_is_used_up(tmp_path: Path) -> None:
    socket = tmp_path / "signer"
    bounds = {"SIGNER_MAX_APPROVAL_USD": 500, "SIGNER_MAX_ORDER_USD": 100}
    async with chain_scene(**bounds) as on:
        stop = asyncio.Event()
        server = SignerServer(build_local_signer(on.database, SystemClock()), socket)
        serving = asyncio.create_task(server.run(stop))
        await server.listening.wait()
        with pointed({"SIGNER_SOCKET": str(socket)}):
            assert (await on.command("--yes")).count("mined in block") == 7
            assert {money for money, _moves in (await on.chain.approvals(on.fay.wallet)).values()} == {500 * ONE}
            assert await _left(on, 100 * ONE) == ""
            told = await _left(on, 99 * ONE)
            assert (told.count("lacks"), "pUSD for CTF_V2" in told, "up to $500" in told) == (1, True, True)
            assert (await on.command("--yes")).count("mined in block") == 1
        stop.set()
        await serving


async def _left(on: ChainScene, micros: int) -> str:
    """What is missing when so much is left of the first exchange's approval."""
    collateral = PUBLISHED[137].collateral
    data = on.chain.contracts.collateral.call("approve", OLDER, micros)
    await on.chain.node.call("anvil_impersonateAccount", on.fay.wallet)
    sent = {"from": on.fay.wallet, "to": collateral, "data": data, "gas": hex(100_000)}
    await on.chain.node.text("eth_sendTransaction", sent)
    await on.chain.mine()
    return "\n".join(line for line in (await on.command("--dry-run")).splitlines() if "lacks" in line)
