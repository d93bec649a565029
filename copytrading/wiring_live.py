"""The composition root's top: a whole live engine, with what it hears and, where real trading is on, its exchange."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from django.conf import settings

from copytrading.hearing import Hearing
from copytrading.supervisor import Engine, Supervisor
from copytrading.wiring import EngineDoors, build_engine, real_doors
from copytrading.wiring_choices import Choices
from copytrading.wiring_exchange import build_exchange, refuse_real_trading
from copytrading.wiring_hearing import Network, build_hearing, build_network
from execution.http import Http
from execution.sockets import Sockets


def build_live_supervisor(
    choices: Choices, *, sockets: Sockets | None = None, orders: Http | None = None
) -> tuple[Engine, Supervisor, Hearing]:
    """An engine on the real doors, the supervisor that runs it, and the live sources. Raises ImproperlyConfigured.

    A measurement gives its own doors to sockets and to the pool of orders.
    """
    doors = real_doors(choices)
    network = build_network(doors, shards=choices.of)
    network = network if sockets is None else replace(network, sockets=sockets)
    engine, let_go = _with_exchange(choices, network, doors, orders=orders)
    supervisor = Supervisor(engine, drain_ms=settings.COPY_TRADING_DRAIN_MS)
    supervisor.let_go = let_go
    return engine, supervisor, build_hearing(engine, network, doors)


def _with_exchange(
    choices: Choices, network: Network, doors: EngineDoors, *, orders: Http | None
) -> tuple[Engine, Callable[[], Awaitable[None]]]:
    """The engine, with its way to the venue where real trading is on; and what lets go of all connections."""
    for_engine = network.doors_for_engine(doors)
    if not settings.ENABLE_REAL_TRADING:
        return build_engine(choices, for_engine), network.close
    refuse_real_trading()
    exchange = build_exchange(doors, shards=choices.of, sockets=network.sockets, markets=network.directory, http=orders)
    engine = exchange.join(build_engine(choices, replace(for_engine, exchange=exchange.doors)), doors)

    async def let_go() -> None:
        await exchange.close()
        await network.close()

    return engine, let_go
