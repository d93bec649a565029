"""`manage.py runsandbox` as people start it: addresses, faults, an end that leaves nothing."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60


@asynccontextmanager
async def _started(*words: str) -> AsyncIterator[tuple[Process, bytes]]:
    """The command with its first line of output; killed if it still runs at the end."""
    command = [sys.executable, "manage.py", "runsandbox", "--chain", "off", *words]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE, stderr=PIPE, env=os.environ)
    try:
        assert process.stdout is not None
        yield process, await asyncio.wait_for(process.stdout.readline(), WAIT_S)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_runs_until_sigterm_and_then_nothing_listens() -> None:
    async with _started("--json", "--rate", "20", "--fault", "data-api:429") as (process, line):
        told: dict[str, Any] = json.loads(line)
        async with aiohttp.ClientSession() as session:
            async with session.get(told["control"]) as answer:
                assert (await answer.json())["leaders"] == told["leaders"]
            async with session.get(told["environment"]["DATA_API_URL"] + "/v2/trades") as answer:
                assert answer.status == 429
            process.terminate()
            output, errors = await asyncio.wait_for(process.communicate(), WAIT_S)
            assert (process.returncode, errors) == (0, b"")
            assert json.loads(output)["groups"] >= told["groups"]
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(told["control"])


async def test_people_read_variables_that_a_shell_takes() -> None:
    async with _started("--seconds", "0.2") as (process, line):
        output, _ = await asyncio.wait_for(process.communicate(), WAIT_S)
        assert line.startswith(b"# The sandbox is up")
        exported = [each for each in output.decode().splitlines() if not each.startswith("#")]
        assert {each.split("=")[0] for each in exported} >= {"export COPY_TRADING_WS_URL"}
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--fault", "nonsense"), "is no fault"),
        (("--fault", "nowhere:drop"), "No door is called nowhere"),
        (("--rate", "nan"), "--rate must lie between"),
        (("--leaders", "0"), "--leaders must lie between"),
        (("--noise", "-1"), "--noise must lie between"),
        (("--port", "70000"), "--port must lie between"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(words: tuple[str, str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        call_command("runsandbox", "--chain", "off", "--seconds", "0.1", *words)


async def test_a_taken_port_is_refused_in_a_sentence() -> None:
    server = await asyncio.start_server(lambda *_ends: None, "127.0.0.1", 0)
    async with server, _started("--port", str(server.sockets[0].getsockname()[1])) as (process, line):
        _, errors = await asyncio.wait_for(process.communicate(), WAIT_S)
        assert (line, process.returncode) == (b"", 1)
        assert b"The sandbox cannot listen" in errors


def test_a_chain_that_must_be_there_and_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("copytrading.management.commands.runsandbox.missing_parts", lambda: "There is no chain.")
    with pytest.raises(CommandError, match=r"There is no chain\."):
        call_command("runsandbox", "--chain", "on", "--seconds", "0.1")


def test_without_the_chains_parts_it_says_so_and_runs_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("copytrading.management.commands.runsandbox.missing_parts", lambda: "There is no chain.")
    call_command("runsandbox", "--json", "--seconds", "0.1")
    said = capsys.readouterr()
    assert said.err == "There is no chain.\n"
    assert json.loads(said.out.splitlines()[0])["settlement"] == "off-chain"
