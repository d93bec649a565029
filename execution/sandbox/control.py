"""The sandbox's own page, `/_sandbox`: its truth, its faults, and what can be made to happen. JSON in and out."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from execution.sandbox.faults import Fault, Faults, UnknownFault
from execution.sandbox.happenings import SideName
from execution.sandbox.serving import Ask, Reply, Server, answer
from execution.sandbox.truth import Truth
from execution.sandbox.world import Event

PATH = "/_sandbox"
STEPS_MAX = 100_000


class Stage(Protocol):
    """What the page controls."""

    faults: Faults

    @property
    def truth(self) -> Truth:
        """The exact totals."""
        ...

    def summary(self) -> Mapping[str, object]:
        """Addresses, leaders and counts."""
        ...

    async def play(self, steps: int) -> int:
        """Let the generator go on by so many steps at once; answers how many happenings that made."""
        ...

    async def trade(
        self, wallet: str, side: SideName, token_id: int, *, shares_micros: int, maker: bool = False
    ) -> Event:
        """Make one trade happen."""
        ...


class ControlDoor:
    """Never faulty itself."""

    def __init__(self, stage: Stage, server: Server) -> None:
        self._stage = stage
        for method, path, handler in (
            ("GET", PATH, self._summary),
            ("GET", f"{PATH}/truth", self._truth),
            ("GET", f"{PATH}/faults", self._faults),
            ("POST", f"{PATH}/faults", self._set),
            ("DELETE", f"{PATH}/faults", self._lift),
            ("POST", f"{PATH}/steps", self._steps),
            ("POST", f"{PATH}/trades", self._trade),
        ):
            server.http(method, path, _guarded(handler), faults=None)

    async def _summary(self, _ask: Ask) -> Reply:
        return answer(self._stage.summary())

    async def _truth(self, ask: Ask) -> Reply:
        wallet = ask.one("wallet")
        return answer(self._stage.truth.as_json(None if wallet is None else wallet.lower()))

    async def _faults(self, _ask: Ask) -> Reply:
        return answer(self._stage.faults.as_json())

    async def _set(self, ask: Ask) -> Reply:
        """`{"fault": "activity:drop=3"}`, or the same in fields: door, kind, share_percent, count, ms."""
        asked = _object(ask)
        words = asked.get("fault")
        await self._stage.faults.apply(words if isinstance(words, str) else _fault(asked))
        return await self._faults(ask)

    async def _lift(self, ask: Ask) -> Reply:
        self._stage.faults.lift(ask.one("door"), ask.one("kind"))
        return await self._faults(ask)

    async def _steps(self, ask: Ask) -> Reply:
        steps = _object(ask).get("count", 1)
        if not isinstance(steps, int) or not 1 <= steps <= STEPS_MAX:
            raise ValueError(f"count must be between 1 and {STEPS_MAX}")
        return answer({"happenings": await self._stage.play(steps)})

    async def _trade(self, ask: Ask) -> Reply:
        asked = _object(ask)
        wallet, token_id, side = (str(asked.get(name, "")) for name in ("wallet", "token_id", "side"))
        shares = asked.get("shares_micros")
        if not token_id.isdigit() or not isinstance(shares, int) or shares <= 0 or side not in ("BUY", "SELL"):
            raise ValueError("a trade needs wallet, token_id, side and shares_micros above zero")
        event = await self._stage.trade(
            wallet.lower(),
            "BUY" if side == "BUY" else "SELL",
            int(token_id),
            shares_micros=shares,
            maker=asked.get("maker") is True,
        )
        settled = event.settled
        return answer({"number": event.number, "tx_hash": settled.tx_hash, "block_number": settled.block_number})


def _guarded(handler: Callable[[Ask], Awaitable[Reply]]) -> Callable[[Ask], Awaitable[Reply]]:
    async def serve(ask: Ask) -> Reply:
        try:
            return await handler(ask)
        except ValueError as error:
            return answer({"error": str(error)}, 400)

    return serve


def _object(ask: Ask) -> dict[str, object]:
    found = json.loads(ask.body or b"{}")
    if not isinstance(found, dict):
        raise UnknownFault("the body must be an object")
    return found


def _fault(asked: Mapping[str, object]) -> Fault:
    numbers = {name: asked.get(name) for name in ("share_percent", "count", "ms")}
    for name, value in numbers.items():
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value <= 0):
            raise UnknownFault(f"{name} must be a whole number above zero")
    share, count, ms = (value if isinstance(value, int) else None for value in numbers.values())
    if share is not None and share > 100:
        raise UnknownFault("share_percent is at most 100")
    return Fault(
        door=str(asked.get("door", "")), kind=str(asked.get("kind", "")), share_percent=share, count=count, ms=ms
    )
