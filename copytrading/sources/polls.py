"""Which leader is looked at next, and when: who traded lately often, who is quiet less and less. Pure.

Moments are seconds of any clock that never goes back, and come as arguments.
"""

from collections.abc import Collection
from dataclasses import dataclass
from heapq import heappop, heappush

QUIET_SHARE = 30
"""A leader who was quiet for so many seconds is looked at every second: after ten minutes every twenty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPace:
    """Between two looks at a leader: the least, for who traded lately, and the most, for who sleeps."""

    active_s: float
    quiet_max_s: float

    def __post_init__(self) -> None:
        if not 0 < self.active_s <= self.quiet_max_s:
            raise ValueError("the pace of polls needs 0 < active_s <= quiet_max_s")

    def interval_s(self, quiet_s: float) -> float:
        """Seconds until the next look at a leader of whom nothing was heard for so long."""
        return min(self.quiet_max_s, max(self.active_s, quiet_s / QUIET_SHARE))


@dataclass(slots=True)
class _Turn:
    due_s: float
    heard_s: float
    polled_s: float | None = None
    taken: bool = False


class Agenda:
    """The turns of all leaders. Each is in the hands of one taker at a time, from `take` to `done`.

    When more is due than can be asked, whoever waits longest comes first: nobody starves, and everybody's interval
    grows alike.
    """

    def __init__(self, pace: PollPace) -> None:
        self._pace = pace
        self._turns: dict[str, _Turn] = {}
        self._order: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._turns)

    def follow(self, wallets: Collection[str], now_s: float) -> None:
        """Look at exactly these from now on; new ones are spread over one interval, however many come at once."""
        for wallet in self._turns.keys() - set(wallets):
            del self._turns[wallet]
        new = [wallet for wallet in wallets if wallet not in self._turns]
        for number, wallet in enumerate(new):
            due_s = now_s + self._pace.active_s * number / len(new)
            self._turns[wallet] = _Turn(due_s=due_s, heard_s=now_s)
            heappush(self._order, (due_s, wallet))

    def take(self, now_s: float) -> str | None:
        """The leader who waits longest, of those that are due; None when nobody is."""
        while self._order and self._order[0][0] <= now_s:
            due_s, wallet = heappop(self._order)
            turn = self._turns.get(wallet)
            # What was moved since stands further on once more, and is passed over here.
            if turn is not None and not turn.taken and turn.due_s == due_s:
                turn.taken = True
                return wallet
        return None

    def wait_s(self, now_s: float, *, longest_s: float) -> float:
        """How long nobody is due, at most `longest_s`."""
        return min(longest_s, max(0.0, self._order[0][0] - now_s)) if self._order else longest_s

    def done(self, wallet: str, now_s: float, *, jitter: float) -> None:
        """The look is over; `jitter` in [0, 1) moves the next by up to a tenth, so that equal ones drift apart."""
        turn = self._turns.get(wallet)
        if turn is None:
            return
        turn.taken, turn.polled_s = False, now_s
        interval_s = self._pace.interval_s(now_s - turn.heard_s)
        self._move(wallet, turn, now_s + interval_s * (0.95 + jitter / 10))

    def heard(self, wallet: str, now_s: float) -> None:
        """Somebody heard this leader: due at once, but never more often than an active one is looked at."""
        turn = self._turns.get(wallet)
        if turn is None:
            return
        turn.heard_s = now_s
        earliest_s = now_s if turn.polled_s is None else max(now_s, turn.polled_s + self._pace.active_s)
        if not turn.taken and earliest_s < turn.due_s:
            self._move(wallet, turn, earliest_s)

    def change_pace(self, pace: PollPace, now_s: float) -> None:
        """Look more or less often from now on; what comes nearer is spread, so that no burst begins it."""
        if pace == self._pace:
            return
        self._pace = pace
        waiting = [(wallet, turn) for wallet, turn in self._turns.items() if not turn.taken]
        for number, (wallet, turn) in enumerate(waiting):
            nearer_s = now_s + pace.interval_s(now_s - turn.heard_s) * number / len(waiting)
            if nearer_s < turn.due_s:
                self._move(wallet, turn, nearer_s)

    def _move(self, wallet: str, turn: _Turn, due_s: float) -> None:
        turn.due_s = due_s
        heappush(self._order, (due_s, wallet))
        if len(self._order) > 4 * len(self._turns) + 16:
            # Places that nobody stands on any more are swept away before they outnumber the leaders.
            self._order = sorted((each.due_s, name) for name, each in self._turns.items() if not each.taken)
