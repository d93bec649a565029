"""What is known of one node of the chain, and which to ask first. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

LATENCY_WEIGHT = 0.2
"""Of the newest answer in the running mean: five slow ones in a row tell, a single one does not."""

LATENCY_STEP_MS = 50
"""Nodes whose means differ by less are equally fast; without steps two of them would take turns for ever."""


@dataclass(slots=True, kw_only=True)
class Node:
    """One HTTP endpoint. `name` may be shown; `url` may hold a key and must not.

    `refused` says why it is never asked (another chain); `resting_until_ms` is when it may be asked again after it
    failed or asked for a pause; `batches` turns False where it takes only one call in a request.
    """

    name: str
    url: str
    verified: bool = False
    batches: bool = True
    refused: str = ""
    failures: int = 0
    resting_until_ms: float = 0.0
    latency_ms: float = 0.0
    head: int = 0
    asked: int = 0
    failed: int = 0

    def answered(self, milliseconds: float) -> None:
        """A usable answer came."""
        self.asked += 1
        self.failures = 0
        self.latency_ms += (milliseconds - self.latency_ms) * (LATENCY_WEIGHT if self.asked > 1 else 1.0)

    def rest(self, until_ms: float) -> None:
        """It failed, or asked to be left alone."""
        self.asked += 1
        self.failed += 1
        self.failures += 1
        self.resting_until_ms = until_ms


def in_order(nodes: Sequence[Node], now_ms: float, *, lag_max: int) -> list[Node]:
    """Whom to ask first: rested before resting, up to date before behind, then the faster one; refused ones never."""
    usable = [node for node in nodes if not node.refused]
    newest = max((node.head for node in usable if node.resting_until_ms <= now_ms), default=0)

    def rank(node: Node) -> tuple[bool, bool, int, int]:
        behind = 0 < node.head < newest - lag_max
        return node.resting_until_ms > now_ms, behind, node.failures, int(node.latency_ms) // LATENCY_STEP_MS

    return sorted(usable, key=rank)
