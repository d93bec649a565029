"""A settlement without a chain: hashes and blocks are made up, and follow from the seed."""

from collections.abc import Sequence
from datetime import UTC, datetime

from execution.sandbox.happenings import Happening, Settled
from execution.sandbox.markets import SandboxMarket, digest
from ledger.clock import Clock

BLOCK_MS = 1_500
"""One block of the venue's chain, autumn 2026."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_BLOCK_AT_MS = 1_700_000_000_000


class OffChain:
    """`Settlement` by arithmetic."""

    name = "off-chain"

    def __init__(self, clock: Clock, seed: int, *, run: str = "") -> None:
        """`run` goes into the hashes: a second run with the same seed against the same engine needs new ones."""
        self._clock = clock
        self._seed = seed
        self._run = run
        self._count = 0

    async def start(self) -> None:
        """Nothing to begin."""

    async def prepare(self, markets: Sequence[SandboxMarket]) -> tuple[SandboxMarket, ...]:
        """Every market as it is."""
        return tuple(markets)

    async def settle(self, happening: Happening) -> Settled:  # noqa: ARG002 (the hash needs no contents)
        """At once, in the block of this moment."""
        self._count += 1
        now_ms = epoch_ms(self._clock.now())
        return Settled(
            tx_hash="0x" + digest(self._seed, "tx", self._run, self._count),
            block_number=(now_ms - FIRST_BLOCK_AT_MS) // BLOCK_MS,
            block_time_s=now_ms // 1_000,
        )

    async def resolve(self, market: SandboxMarket, winner: int) -> None:
        """Nothing to report to."""

    async def close(self) -> None:
        """Nothing to end."""


def epoch_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970."""
    whole = moment - EPOCH
    return (whole.days * 86_400 + whole.seconds) * 1_000 + whole.microseconds // 1_000
