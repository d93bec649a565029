"""Shares under the minimum that wait for the next copy: locked, moved and written inside the prewrite's transaction."""

from collections.abc import Iterable

from copytrading.models import CarriedSize
from ledger.sql import upsert_rows
from ledger.units import Side

CarryKey = tuple[int, int]
"""(config id, token id); sorting by it is the order of locking."""


class Carries:
    """What some configs carry of some tokens, locked; above zero to buy, below zero to sell."""

    def __init__(self, keys: Iterable[CarryKey]) -> None:
        """Lock the rows of these keys in order; a missing row carries nothing. No key, no query."""
        self._keys = set(keys)
        self._sizes: dict[CarryKey, int] = {}
        if self._keys:
            rows = CarriedSize.objects.select_for_update().filter(
                config_id__in={key[0] for key in self._keys}, token_id__in={key[1] for key in self._keys}
            )
            found = rows.order_by("config_id", "token_id").values_list("config_id", "token_id", "size_micros")
            self._sizes = {(config, token): size for config, token, size in found if (config, token) in self._keys}
        self._changed: set[CarryKey] = set()

    def waiting(self, key: CarryKey, side: Side) -> int:
        """The shares that wait to be traded in this direction, in micros."""
        size = self._sizes.get(key, 0)
        return max(0, size if side is Side.BUY else -size)

    def add(self, key: CarryKey, side: Side, size_micros: int) -> None:
        """Carry so much more (below zero: less) in this direction; what waited in the other one is let go.

        A leader who sells no longer stands behind what was to be bought after it, and the other way round.
        """
        if key not in self._keys:
            return
        size = self.waiting(key, side) + size_micros
        signed = size if side is Side.BUY else -size
        if signed != self._sizes.get(key, 0):
            self._sizes[key] = signed
            self._changed.add(key)

    def save(self) -> None:
        """Write back what changed."""
        rows = [
            CarriedSize(config_id=key[0], token_id=key[1], size_micros=self._sizes[key])
            for key in sorted(self._changed)
        ]
        upsert_rows(CarriedSize, rows, unique=("config", "token_id"), update=("size_micros",))
