"""A memory that is bounded twice: by how long ago a value was put, and by how many there are."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by key, kept for `kept_ms` after they were put last, and the newest `bound` of them.

    A bound of number alone is reached after so long on a quiet engine that its memory seems to leak. What is old goes
    when something new comes; times are of the monotonic clock.
    """

    def __init__(self, *, bound: int, kept_ms: float) -> None:
        self._bound, self._kept_ms = bound, kept_ms
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """The value put last, or None when there is none or it was forgotten."""
        found = self._values.get(key)
        return None if found is None else found[1]

    def put(self, key: K, value: V, *, now_ms: float) -> None:
        """Keep this as the newest, and forget what is too old or too much."""
        self._values[key] = (now_ms, value)
        self._values.move_to_end(key)
        while len(self._values) > self._bound or self._oldest_ms() < now_ms - self._kept_ms:
            self._values.popitem(last=False)

    def _oldest_ms(self) -> float:
        put_ms, _value = next(iter(self._values.values()))
        return put_ms
