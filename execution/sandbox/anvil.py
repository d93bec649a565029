"""The local chain's node: the native anvil program from npm, started directly, gone with the process that started it.

The package's own starting script is a Node program that would leave the real node running behind it; it is never used.
"""

import asyncio
import ctypes
import os
import platform
import re
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CONTRACTS = Path(__file__).resolve().parent.parent / "contracts"
MODULES = CONTRACTS / "node_modules"
ANVIL_VERSION = "1.7.1"
PLATFORMS = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""The npm package's word for each machine. The lock holds the amd64 one; the other is installed by hand."""

READY_SECONDS_MAX = 30
"""It answers within 0.1 s (chain.md 1.1); half a minute later it is broken."""

STOP_SECONDS_MAX = 5
STATES_KEPT = 256
"""How many blocks back a reorg may reach."""

PR_SET_PDEATHSIG = 1
LISTENING = re.compile(rb"Listening on ([0-9.]+:[0-9]+)")


class ChainUnavailable(RuntimeError):
    """There is no local chain on this machine, or it does not start; the message is a sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnvilSettings:
    """`block_time_s` None mines only when asked; `automine` mines each transaction at once.

    A gas limit far above a real block's: the number of trades in a block is the caller's business.
    """

    chain_id: int = 137
    block_time_s: int | None = None
    automine: bool = False
    gas_limit: int = 3_000_000_000
    genesis_time_s: int | None = None
    genesis_number: int = 0


def binary(modules: Path = MODULES) -> Path:
    """Where npm puts the native program for this machine."""
    machine = PLATFORMS.get(platform.machine(), platform.machine())
    return modules / "@foundry-rs" / f"anvil-{sys.platform}-{machine}" / "bin" / "anvil"


def conditional_tokens(modules: Path = MODULES) -> Path:
    """Where npm puts the compiled ConditionalTokens."""
    return modules / "@gnosis.pm" / "conditional-tokens-contracts" / "build" / "contracts" / "ConditionalTokens.json"


def missing_parts(modules: Path = MODULES) -> str:
    """Why there is no local chain here and how to get one, in a sentence; empty where there is one."""
    if sys.platform != "linux" or platform.machine() not in PLATFORMS:
        return "The local chain runs on Linux on amd64 and arm64 only; the sandbox runs without a chain."
    if not conditional_tokens(modules).is_file():
        return "The local chain's parts are not installed: run `make node` (it needs Node 20 or later and npm)."
    if not binary(modules).is_file():
        package = f"@foundry-rs/anvil-linux-{PLATFORMS[platform.machine()]}@{ANVIL_VERSION}"
        return f"The local chain's node is missing: run `npm install --no-save {package}` in execution/contracts."
    return ""


def available(modules: Path = MODULES) -> bool:
    """Whether a local chain can be started."""
    return not missing_parts(modules)


class Anvil:
    """One running node on a free port of the loopback.

    It dies with the thread that started it, also when that is killed: start it from a thread that lives as long as it
    is wanted.
    """

    def __init__(self, settings: AnvilSettings | None = None) -> None:
        self._settings = settings or AnvilSettings()
        self._process: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Task[None] | None = None
        self._address = ""

    @property
    def http_url(self) -> str:
        """Where JSON-RPC is answered."""
        return f"http://{self._address}"

    @property
    def ws_url(self) -> str:
        """Where subscriptions are made."""
        return f"ws://{self._address}"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it; returns when it listens. Raises ChainUnavailable."""
        if why := missing_parts():
            raise ChainUnavailable(why)
        self._process = await asyncio.create_subprocess_exec(
            str(binary()),
            *self._arguments(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_dying_with(os.getpid()),
        )
        try:
            async with asyncio.timeout(READY_SECONDS_MAX):
                self._address = await self._heard_address()
        except (TimeoutError, ChainUnavailable) as error:
            await self.close()
            raise ChainUnavailable(f"anvil does not start: {str(error) or 'it says nothing'}") from error
        # It logs each request: an unread pipe would fill and stop it.
        self._drain = asyncio.create_task(_read_on(self._process.stdout))

    async def close(self) -> None:
        """End it; may be called again."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS_MAX)
            except TimeoutError:
                process.kill()
                await process.wait()
        drain, self._drain = self._drain, None
        if drain is not None:
            await drain

    def _arguments(self) -> list[str]:
        settings = self._settings
        mining = ["--no-mining"] if settings.block_time_s is None else ["--block-time", str(settings.block_time_s)]
        return [
            *("--port", "0", "--chain-id", str(settings.chain_id), "--hardfork", "cancun"),
            # Finality two blocks behind the head; transactions in the order of their arrival, as one follows another.
            *("--slots-in-an-epoch", "1", "--order", "fifo"),
            *("--gas-limit", str(settings.gas_limit), "--balance", "1000000000"),
            *("--number", str(settings.genesis_number)),
            # Old states are forgotten: a chain that runs for days stays small, and writes nothing to the disk.
            *("--prune-history", str(STATES_KEPT)),
            *([] if settings.genesis_time_s is None else ["--timestamp", str(settings.genesis_time_s)]),
            *([] if settings.automine and settings.block_time_s is None else mining),
        ]

    async def _heard_address(self) -> str:
        assert self._process is not None and self._process.stdout is not None
        said = b""
        while line := await self._process.stdout.readline():
            said += line
            if match := LISTENING.search(line):
                return match[1].decode()
        raise ChainUnavailable(said.decode(errors="replace").strip()[-300:])


async def _read_on(stream: asyncio.StreamReader | None) -> None:
    assert stream is not None
    while await stream.read(65_536):
        pass


def _dying_with(parent: int) -> Callable[[], None]:
    """What the child does before it becomes anvil: ask the kernel to be killed when its parent is gone."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: after the fork nothing may be imported

    def before_exec() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return before_exec
