"""What the sources on the chain are made of: their doors, their choices, and who names the condition of a token."""

from dataclasses import dataclass
from typing import Protocol

from execution.deployments import Deployment
from execution.rpc import Rpc
from execution.sockets import Sockets
from ledger.db import Database


class Conditions(Protocol):
    """Names conditions; the market directory does."""

    async def condition_of(self, token_id: int) -> str | None:
        """The condition (0x and 64 hex digits) that a token belongs to; None while nobody knows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainDoors:
    """The nodes for calls, sockets for subscriptions, the database for the cursor, and the directory."""

    rpc: Rpc
    sockets: Sockets
    database: Database
    directory: Conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSettings:
    """How the chain is read. Seconds are of the injected clock, counts are blocks unless their name says otherwise.

    Each block's logs are asked for at once and once more after `again_s`: nodes show a block before all of its logs.

    `socket_urls` may be empty: then the head is asked for every `poll_s`. `cursor_key` names this shard's cursor;
    one that does not exist begins at the oldest of `other_keys` that does, or at the head.
    """

    contracts: Deployment
    socket_urls: tuple[str, ...]
    cursor_key: str
    other_keys: tuple[str, ...] = ()
    depth: int = 128
    walk_max: int = 64
    wallets_max: int = 300
    range_max: int = 1_000
    backfill_max: int = 20_000
    backfill_age_s: int = 21_600
    reconcile_depth: int = 32
    reconcile_s: float = 30.0
    again_s: float = 2.0
    poll_s: float = 2.0
    silence_s: float = 15.0
    base_s: float = 0.5
    cap_s: float = 15.0
    resolve_s: float = 0.25
    resolve_again_s: float = 2.0
    resolve_max_s: float = 600.0
