"""The faults of a stream's frames, one after the other: lost, doubled, swapped, late; for all clients alike."""

from collections.abc import Callable

from execution.sandbox.faults import DELAY, DROP, DUPLICATE, HALF_OPEN, REORDER, SILENCE, DoorFaults
from execution.sandbox.later import Later

DELAY_MS = 1_000
"""Of a delay without a time."""

SWAP_WAIT_MS = 1_000
"""How long a frame waits for the one that overtakes it."""

STREAM_KINDS = (DROP, DUPLICATE, REORDER, DELAY, SILENCE, HALF_OPEN)

Send = Callable[[], None]


class FaultyStream:
    """What a door wants to send goes through here."""

    def __init__(self, faults: DoorFaults, later: Later) -> None:
        self._faults = faults
        self._later = later
        self._overtaken: list[Send] = []

    def emit(self, send: Send) -> None:
        """Send a frame, as far as the faults let it."""
        if self._faults.strike(SILENCE):
            return
        if self._faults.lasts(HALF_OPEN) or self._faults.strike(DROP):
            return
        late = self._faults.strike(DELAY)
        if late is not None:
            self._later.after_ms(DELAY_MS if late.ms is None else late.ms, send)
            return
        if not self._overtaken and self._faults.strike(REORDER):
            self._overtaken.append(send)
            self._later.after_ms(SWAP_WAIT_MS, self._release)
            return
        send()
        if self._faults.strike(DUPLICATE):
            send()
        self._release()

    def _release(self) -> None:
        held, self._overtaken = self._overtaken, []
        for send in held:
            send()
