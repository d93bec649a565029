"""The supervisor's /healthz, /readyz and /metrics, and what they say when something is wrong."""

import asyncio
import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from copytrading.readiness import Examination, Report, database_states
from copytrading.supervisor import Supervisor
from copytrading.vitals import PULSE_MS_MAX, PortTaken, Vitals, VitalsServer
from guardrails.stores.base import StoreDown, Stores
from guardrails.stores.memory import memory_stores
from guardrails.stores.redis import redis_stores
from ledger.system import SystemClock
from tests.doors import InlineDatabase, VirtualClock
from tests.world import World

NEVER = "redis://:hunter2hunter2@127.0.0.1:1/0"


class Answering:
    """An examination with a set answer."""

    def __init__(self, **parts: str) -> None:
        self.parts = {"database": "ok", "migrations": "ok", "redis": "memory", **parts}

    async def report(self) -> Report:
        return Report(parts=self.parts)


def vitals(clock: Any = None, *, holds: bool = True, **parts: str) -> Vitals:
    return Vitals(clock or VirtualClock(), Answering(**parts), holds_shard=lambda: holds)  # type: ignore[arg-type]


def beaten(found: Vitals) -> Vitals:
    asyncio.run(found.run_once())
    return found


def test_healthy_and_ready_when_everything_is() -> None:
    found = beaten(vitals())
    assert found.health().ready and found.readiness().ready
    assert json.loads(found.readiness().body) == {
        "ready": True,
        "loop": "ok",
        "lease": "ok",
        "database": "ok",
        "migrations": "ok",
        "redis": "memory",
    }


def test_neither_before_the_loop_turns() -> None:
    assert not vitals().health().ready and not vitals().readiness().ready


def test_loop_that_hangs_is_neither() -> None:
    clock = VirtualClock()
    found = beaten(vitals(clock))
    clock.advance(PULSE_MS_MAX / 1_000)
    assert found.health().parts == {"loop": "no pulse for 5 s"}
    assert not found.health().ready and not found.readiness().ready


@pytest.mark.parametrize(
    ("parts", "ready"),
    [
        ({"database": "does not answer (OperationalError)", "migrations": "unknown"}, False),
        ({"migrations": "not applied: ledger.0003_x"}, False),
        ({"redis": "down; work goes on from the database, a second slower"}, True),
    ],
)
def test_parts_that_are_needed_decide(parts: dict[str, str], ready: bool) -> None:
    found = beaten(vitals(**parts))
    assert found.readiness().ready is ready and found.health().ready
    assert parts.items() <= json.loads(found.readiness().body).items()


def test_without_the_shard_it_is_alive_and_not_ready() -> None:
    found = beaten(vitals(holds=False))
    assert found.health().ready and not found.readiness().ready


def test_examination_that_hangs_makes_it_unready() -> None:
    clock = VirtualClock()
    found = beaten(vitals(clock))
    clock.advance(16)
    found._beat_ms = clock.monotonic_ms()
    assert found.readiness().parts["database"] == "not asked for too long"
    assert found.health().ready and not found.readiness().ready


async def test_it_beats_until_stopped() -> None:
    found, stop = vitals(), asyncio.Event()
    running = asyncio.create_task(found.run(stop))
    for _turn in range(5):
        await asyncio.sleep(0)
    assert found.readiness().ready
    stop.set()
    await asyncio.wait_for(running, 5)
    assert found.health().parts == {"loop": "not running"}


async def test_bug_in_the_examination_ends_the_service() -> None:
    found = vitals()
    with pytest.raises(TypeError):
        await asyncio.wait_for(_broken(found).run(asyncio.Event()), 5)


def _broken(found: Vitals) -> Vitals:
    async def report() -> Report:
        raise TypeError("a bug")

    found._examination.report = report  # type: ignore[method-assign]
    return found


@pytest.fixture
def server() -> Iterator[VitalsServer]:
    with VitalsServer(beaten(vitals(SystemClock(), redis="ok")), 0) as running:
        yield running


def get(server: VitalsServer, path: str) -> tuple[int, str]:
    asking = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        asking.request("GET", path)
        answer = asking.getresponse()
        return answer.status, answer.read().decode()
    finally:
        asking.close()


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/healthz", 200, '"loop": "ok"'),
        ("/readyz", 200, '"lease": "ok"'),
        ("/metrics", 200, "slipstream_signals_total"),
        ("/", 404, "/metrics, /healthz, /readyz"),
    ],
)
def test_addresses(server: VitalsServer, path: str, status: int, text: str) -> None:
    found, body = get(server, path)
    assert found == status and text in body


def test_body_has_one_line_for_each_part(server: VitalsServer) -> None:
    _status, body = get(server, "/readyz")
    assert len(body.splitlines()) == 2 + len(json.loads(body))


def test_not_ready_is_503() -> None:
    with VitalsServer(beaten(vitals(SystemClock(), holds=False)), 0) as server:
        assert get(server, "/readyz")[0] == 503
        assert get(server, "/healthz")[0] == 200


@pytest.mark.parametrize("port", [70_000, -1])
def test_port_that_is_none_is_a_sentence(port: int) -> None:
    with pytest.raises(PortTaken, match=f"Port {port} of 127.0.0.1 cannot be served: it is no port. Choose another"):
        VitalsServer(vitals(), port)


def test_port_in_use_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Port {port} of 127.0.0.1 cannot be served: Address already in use"):
            VitalsServer(vitals(), port)


class Counting(InlineDatabase):
    """Counts questions; `hangs` never answers."""

    asked, hangs = 0, False

    async def run(self, work: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        return await super().run(work, *args, **kwargs)


@pytest.mark.django_db(transaction=True)
def test_many_probes_are_one_question_a_second() -> None:
    clock, database = VirtualClock(), Counting()
    examination = Examination(database, clock, stores=None)

    async def ask(times: int) -> list[Report]:
        return await asyncio.gather(*(examination.report() for _time in range(times)))

    with asyncio.Runner() as runner:
        assert {each.ready for each in runner.run(ask(50))} == {True}
        assert database.asked == 1
        clock.advance(1)
        runner.run(ask(50))
    assert database.asked == 2


async def test_database_that_hangs_is_named_and_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("copytrading.readiness.ANSWER_MS_MAX", 10)
    clock, database = VirtualClock(), Counting()
    database.hangs = True
    examination = Examination(database, clock, stores=None)
    for _time in range(3):
        report = await examination.report()
        assert not report.ready and report.parts["database"].startswith("no answer within")
        clock.advance(1)
    assert database.asked == 1


@pytest.mark.django_db(transaction=True)
def test_missing_migration_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert database_states() == {"database": "ok", "migrations": "ok"}
    monkeypatch.setattr("copytrading.readiness.known_migrations", lambda: {("ledger", "9999_later")})
    assert database_states()["migrations"] == "not applied: ledger.9999_later"


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("up", "state"), [(True, "ok"), (False, "down; work goes on from the database, a second slower")]
)
def test_redis_that_is_down_is_named_and_nothing_waits_for_it(redis_url: str, up: bool, state: str) -> None:
    def stores() -> Stores:
        return redis_stores(redis_url if up else NEVER, "probe", queue_max=1, reclaim_ms=1)

    report = asyncio.run(Examination(InlineDatabase(), VirtualClock(), stores=stores).report())
    assert report.ready and report.parts["redis"] == state
    assert "hunter2" not in report.body


async def test_stores_are_closed_after_each_question() -> None:
    closed = []

    def stores() -> Stores:
        made = memory_stores(VirtualClock(), queue_max=1, reclaim_ms=1)

        async def size() -> int:
            raise StoreDown("no")

        async def close() -> None:
            closed.append(made)

        made.queue.size = size  # type: ignore[method-assign]
        made.shelf.close = close  # type: ignore[method-assign]
        return made

    database = Counting()
    database.hangs = False
    examination = Examination(database, VirtualClock(), stores=stores)
    assert (await examination._ask_stores()).startswith("down")
    assert len(closed) == 1


class Waiting:
    """A source that shows nothing until it is told to stop."""

    name = "waiting"

    async def run(self, stop: asyncio.Event) -> None:
        await stop.wait()


@pytest.mark.django_db
def test_engine_beats_from_before_it_holds_the_shard_until_it_has_released_it(world: World) -> None:
    engine, seen = world.engine, []
    found = Vitals(world.clock, Answering(), holds_shard=engine.lease.trusted)  # type: ignore[arg-type]
    supervisor = Supervisor(engine, drain_ms=1_000)
    supervisor.vitals = found

    async def live() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(supervisor.run(Waiting(), stop))
        while not found.readiness().ready:
            seen.append(found.health().ready)
            await asyncio.sleep(0)
        stop.set()
        assert await running

    asyncio.run(live())
    assert True in seen
    assert found.health().parts == {"loop": "not running"}


@pytest.mark.django_db
def test_bug_in_the_signs_of_life_stops_the_engine_in_order_and_is_told(world: World) -> None:
    supervisor = Supervisor(world.engine, drain_ms=1_000)
    supervisor.vitals = _broken(vitals(world.clock))
    with pytest.raises(TypeError, match="a bug"):
        asyncio.run(supervisor.run(Waiting(), asyncio.Event()))
    assert not world.engine.lease.trusted()
