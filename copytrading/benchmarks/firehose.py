"""A made-up activity stream in a process of its own: `python -m copytrading.benchmarks.firehose RATE SECONDS WALLET`.

It prints its port, waits for a subscription, sends so many frames a second, every thousandth one of the wallet given,
and prints as one JSON line how many it sent in how long. The frames have the shape and size of recorded ones.
"""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass

from websockets.asyncio.server import ServerConnection, serve  # noqa: TID251  (the venue's side of the measurement)

from ledger.clock import Randomness
from ledger.system import SeededRandomness, SystemClock

FOLLOWED_EVERY = 1_000
BATCH_S = 0.005
"""Frames come in small bunches, as those of a transaction do."""

_TIME = "the time of sending"

DIFFERENT = 2_000
"""Frames that are made up before they are sent by turns, each time with the time of sending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Poured:
    """What was sent, and how long it took."""

    frames: int
    elapsed_ms: int


Cut = tuple[str, str, str]
"""A frame around its two times, that of the trade and that of the envelope: both are put in when it is sent."""


def made_up_frame(wallet: str, randomness: Randomness) -> Cut:
    """One frame of the type `trades` with everything that recorded ones hold."""
    digits = "".join(str(randomness.below(10)) for _digit in range(76))
    row = {
        "asset": f"9{digits}",
        "bio": "",
        "conditionId": _hex(64, randomness),
        "eventSlug": "btc-updown-15m-1795262400",
        "icon": "https://pictures.invalid/BTC-fullsize-made-up.png",
        "name": f"trader-{randomness.below(100_000)}",
        "outcome": randomness.choice(("Up", "Down", "Yes", "No")),
        "outcomeIndex": randomness.below(2),
        "price": (1 + randomness.below(98)) / 100,
        "profileImage": "",
        "proxyWallet": wallet,
        "pseudonym": "Made-Up",
        "side": randomness.choice(("BUY", "SELL")),
        "size": randomness.below(1_000_000) / 1_000 + 1,
        "slug": "btc-updown-15m-1795262400",
        "timestamp": _TIME,
        "title": "Bitcoin Up or Down - November 21, 12:00PM-12:15PM ET",
        "transactionHash": _hex(64, randomness),
    }
    envelope = {"connection_id": "made-up=", "payload": row, "timestamp": _TIME, "topic": "activity", "type": "trades"}
    start, middle, end = json.dumps(envelope, separators=(",", ":")).split(f'"{_TIME}"')
    return start, middle, end


def strangers_frames(number: int, randomness: Randomness) -> list[Cut]:
    """So many frames, each of another wallet."""
    return [made_up_frame(_hex(40, randomness), randomness) for _frame in range(number)]


def sent_at(cut: Cut, unix_ms: int) -> str:
    """The frame at a time. The venue's trades have whole seconds; these have the millisecond, to measure with."""
    start, middle, end = cut
    return f"{start}{unix_ms // 1_000}.{unix_ms % 1_000:03}{middle}{unix_ms}{end}"


def _hex(digits: int, randomness: Randomness) -> str:
    return "0x" + "".join(randomness.choice("0123456789abcdef") for _digit in range(digits))


class Firehose:
    """Pours to the first that subscribes."""

    def __init__(self, *, rate: int, seconds: int, wallet: str) -> None:
        self._rate, self._total = rate, rate * seconds
        self._clock, chance = SystemClock(), SeededRandomness(1)
        self._foreign = strangers_frames(DIFFERENT, chance)
        self._followed = made_up_frame(wallet, chance)
        self.poured: asyncio.Future[Poured] = asyncio.get_running_loop().create_future()

    async def talk(self, connection: ServerConnection) -> None:
        """Wait for the subscription, pour, and stay until the reader leaves."""
        await connection.recv()
        began_ms, sent_ms = self._clock.monotonic_ms(), 0
        for number in range(self._total):
            due_ms = began_ms + 1_000 * number / self._rate
            if number % max(1, round(self._rate * BATCH_S)) == 0:
                await self._clock.sleep(max(0.0, due_ms - self._clock.monotonic_ms()) / 1_000)
                sent_ms = round(self._clock.now().timestamp() * 1_000)
            await connection.send(self._frame(number, sent_ms))
        elapsed_ms = round(self._clock.monotonic_ms() - began_ms)
        self.poured.set_result(Poured(frames=self._total, elapsed_ms=elapsed_ms))
        async for _ping in connection:
            pass

    def _frame(self, number: int, unix_ms: int) -> str:
        followed = number % FOLLOWED_EVERY == FOLLOWED_EVERY - 1
        return sent_at(self._followed if followed else self._foreign[number % DIFFERENT], unix_ms)


async def pour(*, rate: int, seconds: int, wallet: str) -> None:
    """Serve until everything was sent."""
    hose = Firehose(rate=rate, seconds=seconds, wallet=wallet)
    async with serve(hose.talk, "127.0.0.1", 0, compression=None) as server:
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        poured = await hose.poured
        sys.stdout.write(json.dumps(asdict(poured)) + "\n")
        sys.stdout.flush()
        # The reader ends this process when it has read everything.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Pour."""
    rate, seconds, wallet = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    asyncio.run(pour(rate=rate, seconds=seconds, wallet=wallet))


if __name__ == "__main__":
    main()
