"""A whole engine while its Redis dies, freezes, or comes back empty in the middle of a stream: all once, none late."""

import asyncio
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
import redis

from copytrading.models import CopyTrade, Signal
from copytrading.operations.cast import seed_followers, seed_leaders
from copytrading.signals import parse_row
from copytrading.supervisor import Engine, Supervisor
from copytrading.wiring import EngineDoors, build_engine
from copytrading.wiring_choices import Choices
from execution.models import Market
from guardrails.models import GuardrailEvent
from guardrails.stores.redis import redis_stores
from ledger.db import ThreadedDatabase
from ledger.system import SeededRandomness, SystemClock, SystemIds
from ledger.units import ONE
from tests.factories import CopyConfigFactory
from tests.services import require_binary
from tests.world import CONDITION, LENA, OTHER_TOKEN, TOKEN

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis, pytest.mark.postgres]

TRADES, EVERY_S = 60, 0.05
BREAK_AT, MEND_AT = 20, 40
A_SECOND = timedelta(seconds=2)
"""The second that Redis being away may cost, and one for a machine that others use too."""

A_SWEEP = timedelta(seconds=8)
"""What waited in a queue that was flushed is offered again when it is five seconds old."""


class Server:
    """A Redis of this test's own, which may be killed."""

    def __init__(self) -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            self.port = held.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Empty, and answering."""
        program, silent = str(require_binary("redis-server")), ["--save", "", "--appendonly", "no"]
        address = ["--bind", "127.0.0.1", "--port", str(self.port)]
        self._process = subprocess.Popen([program, *address, *silent], stdout=subprocess.DEVNULL, cwd="/")
        with redis.Redis.from_url(self.url, retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.02), 200)) as asked:
            asked.ping()

    def kill(self) -> None:
        """As by a power cut."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Its connections stay open, and nobody answers."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was."""
        self._process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """As after a failover that lost its writes."""
        with redis.Redis.from_url(self.url) as admin:
            admin.flushall()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.kill()


class Stream:
    """A source that shows one trade of Lena's after the other, and does things to Redis on the way."""

    name = "stream"

    def __init__(self, engine: Engine, at: dict[int, Callable[[], None]]) -> None:
        self._engine, self._at = engine, at

    async def run(self, stop: asyncio.Event) -> None:
        for number in range(1, TRADES + 1):
            self._at.get(number, lambda: None)()
            row = {
                "proxyWallet": LENA,
                "type": "TRADE",
                "side": "BUY",
                "asset": str(TOKEN),
                "size": "200",
                "conditionId": CONDITION,
                "price": "0.50",
                "transactionHash": f"0x{number:064x}",
                "timestamp": int(self._engine.clock.now().timestamp()),
            }
            reading = parse_row(row, source="data-api", place=f"row {number}")
            await self._engine.intake.offer(f"walk {number}", [reading], complete=True)
            await self._engine.intake.end_walk(f"walk {number}")
            await self._engine.clock.sleep(EVERY_S)


def play(server: Server, fault: "Fault") -> bool:
    lena = seed_leaders({LENA: "Lena"}, holdings_complete=False)[0]
    for fan in seed_followers(["Fay", "Fred"], label="redis", cash_micros=10_000 * ONE):
        CopyConfigFactory(follower=fan, leader=lena)
    Market.objects.create(
        condition_id=CONDITION, title="Will it rain?", first_token_id=TOKEN, second_token_id=OTHER_TOKEN
    )

    async def run() -> bool:
        doors = EngineDoors(
            clock=SystemClock(),
            ids=SystemIds(),
            randomness=SeededRandomness(1),
            database=ThreadedDatabase(4),
            stores=redis_stores(server.url, "engine", queue_max=1_000, reclaim_ms=30_000),
        )
        engine = build_engine(Choices(venue_latency=False, seed=1), doors)
        try:
            faults = {BREAK_AT: lambda: fault.break_(server), MEND_AT: lambda: fault.mend(server)}
            return await Supervisor(engine, drain_ms=30_000).run(Stream(engine, faults), asyncio.Event())
        finally:
            await doors.stores.close()
            doors.database.close()

    return asyncio.run(run())


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to Redis, how late a copy may be for it, and what people are told."""

    break_: Callable[[Server], None]
    mend: Callable[[Server], None]
    delay_max: timedelta
    told: tuple[str, ...]


AWAY = ("QUEUE_DOWN", "QUEUE_BACK")
FAULTS = {
    "killed": Fault(Server.kill, Server.start, A_SECOND, AWAY),
    "frozen": Fault(Server.freeze, Server.thaw, A_SECOND, AWAY),
    "flushed": Fault(Server.flush, lambda _server: None, A_SWEEP, ()),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_stream_with_redis_in_trouble_is_copied_whole_once_and_in_time(server: Server, fault: Fault) -> None:
    assert play(server, fault)
    copies = list(CopyTrade.objects.values_list("signal_id", "follower_id", "status", "detected_at", "executed_at"))
    assert Signal.objects.filter(done_at__isnull=False).count() == TRADES
    assert len(copies) == len({copy[:2] for copy in copies}) == 2 * TRADES
    assert {copy[2] for copy in copies} == {"EXECUTED"}
    assert max(copy[4] - copy[3] for copy in copies) < fault.delay_max
    told = GuardrailEvent.objects.filter(reason__startswith="QUEUE").order_by("pk")
    assert tuple(told.values_list("reason", flat=True)) == fault.told
