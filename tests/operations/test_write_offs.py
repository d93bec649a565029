"""Orders that a person has asked about, or gives up: what they reserved is free, and what comes late is adopted."""

from datetime import timedelta
from typing import Any

import pytest

from copytrading.models import CopyConfig, CopyTrade
from copytrading.operations.cash_sync import at_rest
from copytrading.operations.fills import note_fills
from copytrading.operations.outcomes import Move, record_outcomes
from copytrading.operations.write_offs import ask_now, write_off
from copytrading.states import Actor, Status
from copytrading.tracking.settling import SETTLED_WITHIN
from copytrading.under_way import under_way
from execution.models import Position
from execution.ports import NotFound, Resting
from guardrails.models import Budget, GuardrailEvent
from ledger.bulk import Done
from ledger.models import AuditEntry, CashBalance
from ledger.units import ONE
from tests.operations.deals import assert_books_agree, bought
from tests.tracking.exchange import ExchangeWorld, exchange, make_exchange  # noqa: F401  (fixtures)
from tests.tracking.trades import later, standing_order, trade

pytestmark = pytest.mark.django_db

LONG = SETTLED_WITHIN.total_seconds() + 1


def ghost(config: CopyConfig, side: str = "BUY", **how: Any) -> CopyTrade:
    """An order that the venue matched, it says, and never settles."""
    row = standing_order(config, side, **how)
    CopyTrade.objects.filter(pk=row.pk).update(mode="EXCHANGE")
    row.refresh_from_db()
    return row


def given_up(*rows: CopyTrade, after: float = LONG) -> Done:
    done = write_off([row.pk for row in rows], who="rita", why="nothing on the chain", now=later(after))
    for row in rows:
        row.refresh_from_db()
    return done


def events() -> list[str]:
    return list(GuardrailEvent.objects.order_by("pk").values_list("reason", flat=True))


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_what_is_written_off_gives_everything_back_and_is_watched(fay_config: CopyConfig, side: str) -> None:
    if side == "SELL":
        bought(fay_config)
    row = ghost(fay_config, side)
    assert given_up(row) == Done(changed=1, refused=())
    assert (row.status, row.reserved_micros, row.budget_micros) == ("FAILED", 0, 0)
    assert (row.reasons[-1]["reason"], row.reasons[-1]["subject"]) == ("WRITTEN_OFF", "nothing on the chain")
    assert row.watch_until == later(LONG) + timedelta(days=1)
    assert CashBalance.objects.get().reserved_micros == 0
    assert not Position.objects.exclude(reserved_micros=0).exists()
    assert events() == ["WRITTEN_OFF"]
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.why, entry.after["status"]) == (
        *("rita", "write off", "nothing on the chain"),
        "FAILED",
    )
    assert_books_agree()


def test_it_is_written_off_once(fay_config: CopyConfig) -> None:
    row = ghost(fay_config)
    seen = CopyTrade.objects.get()
    assert [given_up(row).changed for _turn in range(2)] == [1, 0]
    assert CashBalance.objects.get().reserved_micros == 0
    # Whoever still holds the row as it was changes nothing.
    stale = Move(row=seen, to=Status.FAILED, actor=Actor.RESCUE)
    assert record_outcomes([stale], now=later(LONG)) == set()
    assert (events(), AuditEntry.objects.count()) == (["WRITTEN_OFF"], 1)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"status": Status.LIVE}, "is LIVE: only an order that stays MATCHED"),
        ({"status": Status.UNKNOWN}, "is UNKNOWN: only an order that stays MATCHED"),
        ({"status": Status.PENDING}, "is PENDING: only an order that stays MATCHED"),
    ],
)
def test_what_does_not_stay_matched_is_left_with_a_sentence(
    fay_config: CopyConfig, how: dict[str, Any], sentence: str
) -> None:
    row = ghost(fay_config, **how)
    done = given_up(row)
    assert (done.changed, row.status, AuditEntry.objects.count()) == (0, how["status"], 0)
    assert sentence in done.refused[0]


def test_what_was_matched_a_moment_ago_is_left(fay_config: CopyConfig) -> None:
    row = ghost(fay_config)
    done = given_up(row, after=SETTLED_WITHIN.total_seconds() - 1)
    assert (done.changed, row.status) == (0, "MATCHED")
    assert "matched less than 10 minutes ago" in done.refused[0]
    CopyTrade.objects.update(answered_at=later(LONG))
    assert given_up(row).changed == 0


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_a_fill_after_it_was_written_off_is_adopted_with_an_incident(fay_config: CopyConfig, side: str) -> None:
    if side == "SELL":
        bought(fay_config)
    row = ghost(fay_config, side)
    given_up(row)
    for _turn in range(2):
        note_fills([trade(row)], now=later(LONG + 60))
    row.refresh_from_db()
    assert (row.status, row.fill_size_micros, row.reserved_micros) == ("EXECUTED", 100 * ONE, 0)
    assert events() == ["WRITTEN_OFF", "LATE_FILL"]
    assert CashBalance.objects.get().reserved_micros == 0
    assert_books_agree()


def test_a_trade_that_is_only_matched_does_not_wake_it(fay_config: CopyConfig) -> None:
    row = ghost(fay_config)
    note_fills([trade(row, status="MATCHED")], now=later(0))
    given_up(row)
    note_fills([trade(row, status="MINED")], now=later(LONG + 60))
    row.refresh_from_db()
    assert (row.status, events()) == ("FAILED", ["WRITTEN_OFF"])
    note_fills([trade(row)], now=later(LONG + 90))
    row.refresh_from_db()
    assert (row.status, row.fill_size_micros) == ("EXECUTED", 100 * ONE)
    assert_books_agree()


def test_of_what_is_confirmed_in_part_the_rest_is_written_off(fay_config: CopyConfig) -> None:
    row = ghost(fay_config)
    note_fills([trade(row, 60)], now=later(0))
    assert given_up(row).changed == 1
    # Booked by fill tracking with all that follows from a fill; it comes by within a second.
    assert (row.status, row.next_retry_at, events()) == ("MATCHED", later(LONG), ["WRITTEN_OFF"])
    note_fills([trade(row, 60)], now=later(LONG))
    row.refresh_from_db()
    assert (row.status, row.fill_size_micros, row.reserved_micros) == ("EXECUTED", 60 * ONE, 0)
    assert CashBalance.objects.get().reserved_micros == 0
    assert_books_agree()


def test_asking_now_brings_the_next_question_forward_once(fay_config: CopyConfig) -> None:
    row = ghost(fay_config)
    CopyTrade.objects.update(next_retry_at=later(3_600))
    done = [ask_now([row.pk], who="olga", why="", now=later(5)) for _turn in range(2)]
    row.refresh_from_db()
    assert ([each.changed for each in done], row.next_retry_at, row.status) == ([1, 0], later(5), "MATCHED")
    assert "is due already" in done[1].refused[0]
    assert AuditEntry.objects.get().action == "ask now"


def test_a_paper_copy_cannot_be_asked_about(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config)
    done = ask_now([row.pk], who="olga", why="", now=later(5))
    assert (done.changed, AuditEntry.objects.count()) == (0, 0)
    assert "no order on the venue" in done.refused[0]


# --- With an engine ---------------------------------------------------------------------------------------------------


def test_a_ghost_is_ended_by_a_person_and_the_follower_goes_on(exchange: ExchangeWorld) -> None:  # noqa: F811
    fay = exchange.follower()
    (row,) = exchange.copy(exchange.row())
    exchange.exchange.states[str(row.order_hash)] = Resting(matched=True, matched_micros=row.size_micros, final=True)
    exchange.clock.advance(86_400)
    exchange.rescue()
    assert at_rest(fay.pk, now=exchange.clock.now()) is None
    now = exchange.clock.now
    assert write_off([row.pk], who="rita", why="a ghost", now=now()).changed == 1
    assert at_rest(fay.pk, now=now()) is not None
    assert not under_way({fay.pk}).buys
    # The venue repeats itself: what was given up stays so.
    for answer in (exchange.exchange.states[str(row.order_hash)], NotFound()):
        exchange.exchange.states[str(row.order_hash)] = answer
        for _hour in range(13):
            exchange.clock.advance(3_600)
            exchange.rescue()
    row.refresh_from_db()
    assert (row.status, row.next_retry_at, CashBalance.objects.get().reserved_micros) == ("FAILED", None, 0)
    # Asked once more by a person, it has a trade after all.
    exchange.exchange.show(row, trade(row))
    assert ask_now([row.pk], who="olga", why="", now=now()).changed == 1
    exchange.rescue()
    row.refresh_from_db()
    assert (row.status, row.fill_size_micros) == ("EXECUTED", 100 * ONE)
    assert events() == ["UNSETTLED", "WRITTEN_OFF", "LATE_FILL"]


def test_its_budget_is_given_back_and_taken_again_by_a_late_fill(exchange: ExchangeWorld) -> None:  # noqa: F811
    fay = exchange.follower()
    type(fay.configs.get().leader).objects.update(daily_limit_micros=150 * ONE)
    (row,) = exchange.copy(exchange.row())
    spent = [Budget.objects.get(scope="LEADER").spent_micros]
    exchange.clock.advance(LONG)
    write_off([row.pk], who="rita", why="a ghost", now=exchange.clock.now())
    spent.append(Budget.objects.get(scope="LEADER").spent_micros)
    exchange.confirm(row)
    spent.append(Budget.objects.get(scope="LEADER").spent_micros)
    assert spent == [51 * ONE, 0, 51 * ONE]
