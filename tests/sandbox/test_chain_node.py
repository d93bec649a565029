"""The node's process: it starts, ends, and never outlives whoever started it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from execution.sandbox import anvil
from execution.sandbox.anvil import Anvil, AnvilSettings, ChainUnavailable
from execution.sandbox.node import Node, NodeError
from execution.sandbox.on_chain import OnChain, OnChainSettings
from ledger.system import SystemClock
from tests.sandbox.chain_stage import WAIT_S, needs_chain

ROOT = Path(__file__).resolve().parents[2]

PARENT = """
import asyncio
from execution.sandbox.anvil import Anvil

async def main():
    node = Anvil()
    await node.start()
    open("pid", "w").write(str(node.pid))
    await asyncio.Event().wait()

asyncio.run(main())
"""


@needs_chain
@pytest.mark.parametrize("chain_id", [137, 80_002])
async def test_a_node_without_a_block_time_mines_when_asked(chain_id: int) -> None:
    process = Anvil(AnvilSettings(chain_id=chain_id))
    await process.start()
    node = Node(process.http_url)
    try:
        first, second, *_ = await node.call("eth_accounts")
        await node.text("eth_sendTransaction", {"from": first, "to": second})
        assert await node.number("eth_blockNumber") == 0
        await node.call("evm_mine")
        assert await node.number("eth_blockNumber") == 1
        assert await node.number("eth_chainId") == chain_id
    finally:
        await node.close()
        await process.close()


@needs_chain
@pytest.mark.parametrize("settings", [AnvilSettings(automine=True), AnvilSettings(block_time_s=1)])
async def test_a_node_may_mine_each_transaction_or_by_the_second(settings: AnvilSettings) -> None:
    process = Anvil(settings)
    await process.start()
    node = Node(process.http_url)
    try:
        async with aiohttp.ClientSession() as session, session.ws_connect(process.ws_url) as socket:
            await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
            assert "result" in await socket.receive_json(timeout=WAIT_S)
            first, second, *_ = await node.call("eth_accounts")
            await node.text("eth_sendTransaction", {"from": first, "to": second})
            head = await socket.receive_json(timeout=WAIT_S)
            assert int(head["params"]["result"]["number"], 16) >= 1
    finally:
        await node.close()
        await process.close()


@needs_chain
async def test_a_closed_node_is_gone_and_closing_twice_is_harmless() -> None:
    process = Anvil()
    await process.start()
    pid = process.pid
    assert pid is not None and alive(pid)
    await process.close()
    await process.close()
    assert not alive(pid)


@needs_chain
def test_a_node_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path, env=environment)
    try:
        until(lambda: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text()))
        pid = int((tmp_path / "pid").read_text())
        assert alive(pid)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: not alive(pid))


@needs_chain
async def test_a_node_tells_what_it_refuses() -> None:
    process = Anvil()
    await process.start()
    node = Node(process.http_url)
    try:
        with pytest.raises(NodeError, match="eth_nothing"):
            await node.call("eth_nothing")
    finally:
        await node.close()
        await process.close()


def test_a_machine_without_the_parts_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "make node" in anvil.missing_parts(tmp_path)
    assert not anvil.available(tmp_path)
    monkeypatch.setattr(anvil.platform, "machine", lambda: "riscv64")
    assert "without a chain" in anvil.missing_parts(tmp_path)


@pytest.mark.parametrize(("machine", "word"), [("x86_64", "amd64"), ("aarch64", "arm64")])
def test_each_machine_has_its_own_package(machine: str, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anvil.platform, "machine", lambda: machine)
    assert anvil.binary().parts[-3] == f"anvil-linux-{word}"


async def test_a_chain_without_its_parts_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anvil, "missing_parts", lambda: "It is not here.")
    with pytest.raises(ChainUnavailable, match="not here"):
        await OnChain(SystemClock()).start()


@pytest.mark.parametrize("operators", [0, 7])
def test_there_are_some_operators_but_not_too_many(operators: int) -> None:
    with pytest.raises(ValueError, match="1 to 6"):
        OnChain(SystemClock(), OnChainSettings(operators=operators))


def alive(pid: int) -> bool:
    """Running, and no zombie that waits for its parent."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(done: object) -> None:
    """Return once it is so; half a minute at most."""
    assert callable(done)
    waiting = subprocess.Popen(["sleep", "30"])
    try:
        while not done():
            assert waiting.poll() is None, "it never came to be"
    finally:
        waiting.kill()
        waiting.wait()
