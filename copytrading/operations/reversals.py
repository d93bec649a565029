"""Fills that the chain or the venue undid: their trades fail, and everything that they moved goes back.

It is rare: nothing here is on the hot path.
"""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from copytrading.models import CopyTrade
from copytrading.operations.answers import answer, entries_of
from copytrading.operations.booking import release
from copytrading.operations.books import lock_books, write_books
from copytrading.operations.commissions import reverse_commissions
from copytrading.operations.moves import Move
from copytrading.operations.outcomes import give_back_budgets, take_moves
from copytrading.states import Actor, IllegalMove, Status, check_move
from guardrails.intents import Refusal
from guardrails.operations import record_events
from ledger.entries import bookings, unanswered


def reverse_fill(row: CopyTrade, *, refusal: Refusal, now: datetime) -> bool:
    """Take one booked copy back, as `reverse_fills` does; False when it no longer is as the caller saw it."""
    return bool(reverse_fills([row], refusal=refusal, now=now))


def reverse_fills(rows: Sequence[CopyTrade], *, refusal: Refusal, now: datetime) -> set[int]:
    """Take EXECUTED copies, or those booked in part, back to FAILED for this reason, in one transaction; who moved.

    A row that no longer is as the caller saw it is left alone. Every entry of a fill is answered by its opposite.
    Cash, shares, cost, profit, fees, what the config's copies made, budgets, the referrer's volume and the
    commission go back with it. Shares of a buy that were sold meanwhile are found outside, which is an incident
    (OVERSOLD), and what their sale cost is made good in the realised profit. From then on a row is watched for
    a day as every failed one: a late fill books it again. What a row still reserved is released. Raises IllegalMove
    for a row without a fill.
    """
    moves = [Move(row=row, to=Status.FAILED, actor=Actor.REORG, refusal=refusal) for row in rows]
    for move in moves:
        check_move(Status(move.row.status), move.to, move.actor)
        if not move.undoes:
            raise IllegalMove(f"copy trade {move.row.pk} has no fill to take back")
    with transaction.atomic():
        moved = take_moves(moves, now=now)
        winners = [move for move in moves if move.row.pk in moved]
        # The newest first: where both go back, a sale returns its shares before their purchase takes them.
        _answer_all(
            sorted((move.row for move in winners), key=lambda row: (row.executed_at or now, row.pk), reverse=True), now
        )
        record_events([(move.row.pk, refusal) for move in winners], now=now)
        give_back_budgets(winners)
    return moved


def _answer_all(rows: Sequence[CopyTrade], now: datetime) -> None:
    books = lock_books(rows)
    entries = entries_of([row.pk for row in rows])
    for row in rows:
        release(row, books)
        mine = entries.get(row.pk, ())
        answer(row, unanswered(mine), books, key=f"trade:{row.pk}:{bookings(mine)}:REVERSED")
    write_books(books, now=now)
    reverse_commissions(rows, now=now)
