"""Foreign wallets' trades on the activity stream, at any rate: only frames, for load. They are no part of the truth."""

from collections.abc import Sequence

from execution.sandbox.activity import ORDERS_MATCHED, TRADES, ActivityDoor
from execution.sandbox.happenings import Leg, Settled
from execution.sandbox.markets import ONE, SandboxMarket, digest
from execution.sandbox.rows import stream_payload
from execution.sandbox.serving import encode
from ledger.clock import Clock, Randomness

SHAPES = 512
"""Different trades; each frame has its own transaction and second."""

PERIOD_MS = 10
BEHIND_MAX_MS = 1_000
"""What could not be sent in time is sent later, but no more than a second's worth."""

MATCHED_IN = 4
"""One frame in so many is of `orders_matched` (57 to 20 a second, recorded)."""

_SECOND, _HASH = 1_111_111_111, "0x" + "f" * 64


class Noise:
    """Sends frames at a rate until cancelled."""

    def __init__(self, seed: int, door: ActivityDoor, *, clock: Clock, chance: Randomness) -> None:
        self._seed = seed
        self._door = door
        self._clock = clock
        self._chance = chance
        self.sent = 0

    async def run(self, per_second: int, markets: Sequence[SandboxMarket]) -> None:
        """Send that many frames a second; what the clock lost is caught up with, within a bound."""
        shapes = [self._shape(markets) for _ in range(SHAPES)]
        began = self._clock.monotonic_ms()
        due = 0
        while True:
            await self._clock.sleep(PERIOD_MS / 1_000)
            now = self._clock.monotonic_ms()
            wanted = int((now - began) * per_second // 1_000)
            due = max(due, wanted - per_second * BEHIND_MAX_MS // 1_000)
            second = str(self._second())
            for number in range(due, wanted):
                self._send(shapes[number % SHAPES], second, number)
            due = max(due, wanted)

    def _send(self, shape: tuple[str, str, str], second: str, number: int) -> None:
        head, middle, tail = shape
        tx_hash = f"0x{self._seed & 0xFFFF:08x}{number * 2_654_435_761 & 0xFFFFFFFF:08x}{number:048x}"
        kind = TRADES if number % MATCHED_IN else ORDERS_MATCHED
        self._door.flood(kind, f"{head}{second}{middle}{tx_hash}{tail}")
        self.sent += 1

    def _second(self) -> int:
        return int(self._clock.now().timestamp())

    def _shape(self, markets: Sequence[SandboxMarket]) -> tuple[str, str, str]:
        """The payload as text in three parts, with room for the second and the transaction between them."""
        market = self._chance.choice(markets)
        number = self._chance.below(1_000_000)
        shares = (1 + self._chance.below(200_000)) * 10_000
        leg = Leg(
            wallet="0x" + digest(self._seed, "noise", number)[:40],
            side="BUY" if self._chance.below(2) else "SELL",
            token_id=self._chance.choice(market.token_ids),
            shares_micros=shares,
            cash_micros=shares * (20_000 + self._chance.below(960_000)) // ONE,
            fee_micros=0,
            maker=False,
            order_hash="0x" + digest(self._seed, "noise order", number),
        )
        settled = Settled(tx_hash=_HASH, block_number=0, block_time_s=_SECOND)
        text = encode(stream_payload(leg, market, settled)).decode()
        head, rest = text.split(str(_SECOND))
        middle, tail = rest.split(_HASH)
        return head, middle, tail
