"""The leaders' known holdings while a batch of groups is recorded; used inside `record_signals`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from copytrading.groups import GroupTotal
from copytrading.holdings import UNKNOWN, Holding, after_action, is_in_reading
from copytrading.models import Leader, LeaderPosition
from copytrading.signals import ActionKind
from execution.models import Market
from ledger.questions import Question
from ledger.rows import new_row
from ledger.sql import upsert_rows
from ledger.units import Micros

_POSITIONS = Question(
    lambda leaders, conditions: (
        LeaderPosition.objects.select_for_update()
        .filter(leader_id__among=leaders, condition_id__among=conditions)
        .order_by("leader_id", "id")
        .values_list("leader_id", "token_id", "condition_id", "size_micros", "known", "read_at")
    )
)

_TOKENS = Question(
    lambda conditions: Market.objects.filter(condition_id__among=conditions).values_list(
        "condition_id", "first_token_id", "second_token_id"
    )
)


@dataclass(slots=True)
class HeardLeader:
    """A leader as recording sees him, by the model's names."""

    pk: int
    wallet: str
    holdings_complete: bool
    holdings_read_at: datetime | None

    def forget_holdings(self) -> None:
        """From here on a missing row proves nothing."""
        self.holdings_complete = False
        Leader.objects.filter(pk=self.pk).update(holdings_complete=False)


class HoldingsBook:
    """Locked LeaderPosition rows of some leaders, changed in memory and written back once."""

    def __init__(self, leaders: Iterable[HeardLeader]) -> None:
        self._leaders = {leader.pk: leader for leader in leaders}
        self._held: dict[tuple[int, int], Holding] = {}
        self._conditions: dict[tuple[int, int], str] = {}
        self._read_at: dict[tuple[int, int], datetime | None] = {}
        self._tokens: dict[str, tuple[int, ...]] = {}
        self._changed: set[tuple[int, int]] = set()

    def lock(self, totals: Sequence[GroupTotal], leaders: Mapping[str, HeardLeader]) -> None:
        """Lock the rows of every condition that these totals touch, and learn the conditions' tokens."""
        conditions = {total.condition_id for total in totals}
        rows = _POSITIONS.rows({leaders[total.wallet].pk for total in totals}, conditions)
        for leader, token, condition, size, known, read_at in rows:
            self._held[leader, token] = Holding(Micros(size), known)
            self._conditions[leader, token] = condition
            self._read_at[leader, token] = read_at
        # Only what names no token moves all of a market's.
        for condition, *tokens in _TOKENS.rows({total.condition_id for total in totals if total.token_id is None}):
            self._tokens[condition] = tuple(token for token in tokens if token is not None)

    def apply(self, leader: HeardLeader, total: GroupTotal, size_micros: int) -> Micros | None:
        """Move what the action moves; answers the token's known holding before it, None when unknown."""
        if total.kind is ActionKind.CONVERSION:
            self._unlearn(leader, total)
            return None
        if total.token_id is not None:
            before = self._holding(leader, total.token_id)
            told = is_in_reading(self._read_at_of(leader, total.token_id), total.traded_at)
            self._set(leader, total.token_id, total, size_micros)
            return before.size_micros if before.known and told is False else None
        self._apply_to_condition(leader, total, size_micros)
        return None

    def save(self) -> None:
        """Write what changed."""
        rows = [
            new_row(
                LeaderPosition,
                leader_id=leader_id,
                token_id=token_id,
                condition_id=self._conditions[leader_id, token_id],
                size_micros=self._held[leader_id, token_id].size_micros,
                known=self._held[leader_id, token_id].known,
                read_at=self._read_at.get((leader_id, token_id)),
            )
            for leader_id, token_id in sorted(self._changed)
        ]
        upsert_rows(LeaderPosition, rows, unique=("leader", "token_id"), update=("size_micros", "known"))

    def _apply_to_condition(self, leader: HeardLeader, total: GroupTotal, size_micros: int) -> None:
        held = [
            token for (owner, token), c in self._conditions.items() if owner == leader.pk and c == total.condition_id
        ]
        tokens = {*self._tokens.get(total.condition_id, ()), *held}
        if total.kind is ActionKind.SPLIT and len(tokens) < 2 and leader.holdings_complete:
            # Shares of a token we cannot name.
            leader.forget_holdings()
        for token in tokens:
            redeemed = self._holding(leader, token).size_micros
            self._set(leader, token, total, redeemed if total.kind is ActionKind.REDEEM else size_micros)

    def _unlearn(self, leader: HeardLeader, total: GroupTotal) -> None:
        """A conversion takes tokens of one market and gives those of others: nothing is known until it is read."""
        if is_in_reading(leader.holdings_read_at, total.traded_at):
            return
        if leader.holdings_complete:
            leader.forget_holdings()
        LeaderPosition.objects.filter(leader_id=leader.pk, known=True).update(known=False)
        for name in [name for name in self._held if name[0] == leader.pk]:
            self._held[name] = UNKNOWN

    def _read_at_of(self, leader: HeardLeader, token_id: int) -> datetime | None:
        missing = leader.holdings_read_at if leader.holdings_complete else None
        return self._read_at.get((leader.pk, token_id), missing)

    def _holding(self, leader: HeardLeader, token_id: int) -> Holding:
        missing = Holding(Micros(0), known=True) if leader.holdings_complete else UNKNOWN
        return self._held.get((leader.pk, token_id), missing)

    def _set(self, leader: HeardLeader, token_id: int, total: GroupTotal, size_micros: int) -> None:
        name = (leader.pk, token_id)
        before, read_at = self._holding(leader, token_id), self._read_at_of(leader, token_id)
        told = is_in_reading(read_at, total.traded_at)
        if told:
            return
        moved = after_action(before, total.kind, side=total.side, size_micros=size_micros)
        after = moved if told is False else UNKNOWN
        self._read_at[name] = read_at
        if name not in self._held and not after.known and not leader.holdings_complete:
            return  # an absent row already says "unknown"
        self._held[name] = after
        self._conditions.setdefault(name, total.condition_id)
        if after != before or name not in self._changed:
            self._changed.add(name)
