"""The chain as a part of a sandbox: its providers as further doors, and their addresses as settings."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from execution.sandbox.later import Later
from execution.sandbox.on_chain import OnChain
from execution.sandbox.rpc_proxy import PATH, RpcDoor
from execution.sandbox.sandbox import Attachment, Sandbox
from execution.sandbox.serving import HOST, Server

LATE_MS = 1_700
"""After its block a log is heard: with half a block of waiting, 2.2 s after the match."""

PROVIDERS = ("chain", "chain-b", "chain-c")
"""The doors' names: each has faults of its own; a reorg at one is seen at all."""


def chain_doors(chain: OnChain, *, providers: int = 2) -> Attachment:
    """What `open_sandbox` takes as its attachment when `chain` is its settlement. Sets RPC_URLS."""
    names = PROVIDERS[:providers]
    if len(names) != providers or not names:
        raise ValueError(f"There are 1 to {len(PROVIDERS)} providers, not {providers}.")

    @asynccontextmanager
    async def attach(sandbox: Sandbox) -> AsyncIterator[Mapping[str, str]]:
        clock = sandbox.world.clock
        server, later = Server(clock), Later(clock)
        paths = [PATH if name == PROVIDERS[0] else f"{PATH}/{name}" for name in names]
        for name, path in zip(names, paths, strict=True):
            door = RpcDoor(chain, server, sandbox.faults.door(name), later=later, path=path)
            door.blocks_late = round(LATE_MS * sandbox.options.delay_factor / chain.block_ms) if chain.block_ms else 0
        sandbox.exchange.stand_beside(chain)
        try:
            await server.start()
            # Each address answers calls and takes subscriptions.
            addresses = [f"{HOST}:{server.port}{path}" for path in paths]
            yield {"RPC_URLS": ",".join(f"{scheme}://{each}" for scheme in ("http", "ws") for each in addresses)}
        finally:
            await server.close()
            await later.close()

    return attach
