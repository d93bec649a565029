"""The audit of accounts: differences become events, once, and nothing else changes."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from copytrading.models import CopyTrade, Follower
from copytrading.operations.account_states import stop_account
from copytrading.queries import Shard
from copytrading.tracking.audit import FIRST_WINDOW, WINDOW, Audit, AuditDoors
from copytrading.tracking.queries import active_followers
from execution.clob.client import TooManyTrades
from execution.hosts import HostDown
from execution.models import TradingAccount, VenueFill
from execution.ports import VenueTrade
from guardrails.models import GuardrailEvent
from ledger.models import LedgerEntry
from tests.tracking.exchange import ExchangeWorld, statuses
from tests.tracking.trades import trade

pytestmark = pytest.mark.django_db


class History:
    """What the venue shows of every account, or that it does not answer."""

    def __init__(self) -> None:
        self.trades: tuple[VenueTrade, ...] = ()
        self.asked: list[tuple[int, datetime]] = []
        self.down, self.hours_max = False, 100
        self.clock: Any = None

    async def account_trades(self, follower_id: int, *, since: datetime) -> tuple[VenueTrade, ...]:
        self.asked.append((follower_id, since))
        if self.down:
            raise HostDown("it is down")
        if self.clock.now() - since > timedelta(hours=self.hours_max):
            raise TooManyTrades("too many pages")
        return self.trades


@pytest.fixture
def history() -> History:
    return History()


@pytest.fixture
def audit(exchange: ExchangeWorld, history: History) -> Audit:
    history.clock = exchange.clock
    doors = AuditDoors(database=exchange.engine.database, clock=exchange.clock, history=history)
    return Audit(doors, shard=Shard())


def look(exchange: ExchangeWorld, audit: Audit) -> Any:
    exchange.clock.advance(200)
    return exchange.run(audit.run_once)


def events() -> list[tuple[int | None, str]]:
    rows = GuardrailEvent.objects.filter(reason="AUDIT_DIFFERENCE").order_by("pk")
    return list(rows.values_list("trade_id", "subject"))


def test_nothing_is_told_while_venue_and_books_agree(exchange: ExchangeWorld, history: History, audit: Audit) -> None:
    fay = exchange.follower()
    (row,) = exchange.copy(exchange.row())
    exchange.confirm(row)
    history.trades = (trade(row, name=f"t{row.pk}"),)
    assert (look(exchange, audit), events()) == (0, [])
    assert [follower for follower, _since in history.asked] == [fay.pk]


def test_an_account_that_was_stopped_meanwhile_is_looked_at_too(
    exchange: ExchangeWorld, history: History, audit: Audit
) -> None:
    exchange.follower()
    (row,) = exchange.copy(exchange.row())
    stop_account(row.follower_id, "revoked", revoked=True, now=exchange.clock.now())
    history.trades = (trade(CopyTrade(order_hash="0x" + "ee" * 32), name="t9"),)
    assert look(exchange, audit) == 1
    assert active_followers(since=row.decided_at, limit=9, shard=Shard()) == []


def test_a_trade_that_we_do_not_know_is_an_event_and_no_edit(
    exchange: ExchangeWorld, history: History, audit: Audit
) -> None:
    fay = exchange.follower()
    (row,) = exchange.copy(exchange.row())
    history.trades = (trade(row), trade(CopyTrade(order_hash="0x" + "ee" * 32), name="t9"))
    assert look(exchange, audit) == 2
    assert events() == [
        (row.pk, f"follower {fay.pk}: trade t1: not known here"),
        (None, f"follower {fay.pk}: trade t9: of an order that nobody here sent"),
    ]
    assert (statuses(exchange), VenueFill.objects.count(), LedgerEntry.objects.exclude(trade=None).exists()) == (
        ["MATCHED"],
        0,
        False,
    )


def test_a_difference_is_told_once(exchange: ExchangeWorld, history: History, audit: Audit) -> None:
    exchange.follower()
    (row,) = exchange.copy(exchange.row())
    history.trades = (trade(row),)
    assert [look(exchange, audit) for _round in range(3)] == [1, 0, 0]
    assert len(events()) == 1


def test_an_account_that_does_not_answer_is_audited_the_next_time(
    exchange: ExchangeWorld, history: History, audit: Audit
) -> None:
    exchange.follower()
    (row,) = exchange.copy(exchange.row())
    history.trades, history.down = (trade(row),), True
    assert look(exchange, audit) == 0
    history.down = False
    assert look(exchange, audit) == 1


def test_the_long_look_is_owed_to_an_account_until_it_was_read(
    exchange: ExchangeWorld, history: History, audit: Audit
) -> None:
    exchange.follower()
    exchange.copy(exchange.row())
    windows = []
    for history.down in (True, True, False, False):
        look(exchange, audit)
        windows.append(exchange.clock.now() - history.asked[-1][1])
    assert windows == [FIRST_WINDOW, FIRST_WINDOW, FIRST_WINDOW, WINDOW]


def test_an_account_that_was_silent_for_hours_is_read_from_there_on(
    exchange: ExchangeWorld, history: History, audit: Audit
) -> None:
    exchange.follower()
    exchange.copy(exchange.row())
    look(exchange, audit)
    history.down = True
    look(exchange, audit)
    since = history.asked[-1][1]
    exchange.clock.advance(5 * 3_600)
    history.down = False
    look(exchange, audit)
    assert history.asked[-1][1] == since


def test_an_account_with_more_trades_than_can_be_read_is_not_lost_to_the_long_look(
    exchange: ExchangeWorld, history: History, audit: Audit
) -> None:
    exchange.follower()
    (row,) = exchange.copy(exchange.row())
    history.trades, history.hours_max = (trade(row),), 2
    assert [look(exchange, audit) for _round in range(2)] == [0, 1]


def test_who_is_owed_a_look_and_was_quiet_for_a_day_is_owed_it_no_more(
    exchange: ExchangeWorld, history: History, audit: Audit
) -> None:
    exchange.follower()
    (row,) = exchange.copy(exchange.row())
    exchange.confirm(row)
    history.down = True
    look(exchange, audit)
    exchange.clock.advance(FIRST_WINDOW.total_seconds())
    history.asked.clear()
    look(exchange, audit)
    assert history.asked == []


def test_a_start_looks_back_a_day_and_later_rounds_an_hour(
    exchange: ExchangeWorld, history: History, audit: Audit
) -> None:
    exchange.follower()
    exchange.copy(exchange.row())
    windows = []
    for _round in range(2):
        look(exchange, audit)
        windows.append(exchange.clock.now() - history.asked[-1][1])
    assert windows == [FIRST_WINDOW, WINDOW]


def test_who_has_not_traded_lately_or_is_stopped_is_left_alone(exchange: ExchangeWorld) -> None:
    fay, fred = exchange.follower("Fay"), exchange.follower("Fred")
    exchange.follower("Gina")
    paper = exchange.follower("Paula")
    Follower.objects.filter(pk=paper.pk).update(mode="PAPER")
    TradingAccount.objects.filter(follower=fred).update(state="STOPPED", stopped_at=exchange.clock.now())
    (row,) = [each for each in exchange.copy(exchange.row()) if each.follower_id == fay.pk]
    exchange.confirm(row)

    def active(minutes: int) -> list[int]:
        since = exchange.clock.now() - timedelta(minutes=minutes)
        return active_followers(since=since, limit=9, shard=Shard())

    gina = Follower.objects.get(name="Gina")
    CopyTrade.objects.filter(follower=gina).delete()
    assert active(10) == [fay.pk]
    exchange.clock.advance(3_600)
    assert (active(10), active(90)) == ([], [fay.pk])
