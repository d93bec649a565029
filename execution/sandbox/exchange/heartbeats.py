"""The dead man's switch: who began to send heartbeats and stops loses all open orders (polymarket.md 3.2)."""

from execution.sandbox.exchange.floor import Floor
from execution.sandbox.exchange.refusals import Refused
from execution.sandbox.later import Later
from execution.sandbox.markets import digest

SILENCE_MS = 10_000


class Heartbeats:
    """The last heartbeat of each address."""

    def __init__(self, floor: Floor, later: Later, seed: int) -> None:
        self._floor = floor
        self._later = later
        self._seed = seed
        self._last: dict[str, str] = {}
        self._count = 0

    def beat(self, address: str, told: str) -> str:
        """The next heartbeat's id. Raises Refused, with the expected one, for a wrong id."""
        last = self._last.get(address, "")
        if told != last:
            raise Refused("Invalid Heartbeat ID", more={"heartbeat_id": last})
        self._count += 1
        digits = digest(self._seed, "heartbeat", self._count)
        made = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))
        self._last[address] = made
        self._later.after_ms(SILENCE_MS, lambda: self._missed(address, made))
        return made

    def miss(self, address: str) -> None:
        """As if nothing had been heard for so long."""
        for record in self._floor.open_orders(address):
            self._floor.cancel(record)

    def _missed(self, address: str, since: str) -> None:
        if self._last.get(address) == since:
            self.miss(address)
