"""Orders that are written and not yet posted: the limits that they will use up are counted when they are posted."""

from collections import Counter
from collections.abc import Hashable


class Outgoing:
    """Which, and how many of each follower."""

    def __init__(self) -> None:
        self._followers: dict[Hashable, int] = {}
        self._of: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._followers)

    def of(self, follower_id: int) -> int:
        """How many of one follower."""
        return self._of[follower_id]

    def add(self, name: Hashable, follower_id: int) -> None:
        """This one is to be posted."""
        if name not in self._followers:
            self._followers[name] = follower_id
            self._of[follower_id] += 1

    def remove(self, name: Hashable) -> None:
        """It is posted, or will not be; one that is not there changes nothing."""
        follower_id = self._followers.pop(name, None)
        if follower_id is None:
            return
        self._of[follower_id] -= 1
        if not self._of[follower_id]:
            del self._of[follower_id]
