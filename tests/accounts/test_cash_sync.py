"""The booked cash follows the venue's, while nothing of the follower is under way."""

from datetime import timedelta

import pytest
from django.db import IntegrityError

from copytrading.operations.cash_sync import QUIET, AtRest, at_rest, sync_cash
from copytrading.states import Status
from execution.models import TradingAccount
from ledger.models import CashBalance, LedgerEntry
from ledger.operations import deposit_cash
from ledger.units import ONE
from tests.doors import BEGINNING
from tests.factories import FollowerFactory, trade_in

pytestmark = pytest.mark.django_db

LATER = BEGINNING + timedelta(days=1)


@pytest.fixture
def fay_id() -> int:
    follower = FollowerFactory(name="Fay")
    TradingAccount.objects.create(follower=follower, signer=follower.wallet)
    deposit_cash([follower.pk], 100 * ONE, key="first-deposit")
    return follower.pk


def seen(follower_id: int) -> AtRest:
    found = at_rest(follower_id, now=LATER)
    assert found is not None
    return found


def cash(follower_id: int) -> int:
    return CashBalance.objects.get(follower_id=follower_id).cash_micros


@pytest.mark.parametrize(("venue", "kind"), [(130 * ONE, "DEPOSIT"), (70 * ONE, "WITHDRAWAL")])
def test_a_difference_is_booked_as_money_from_or_to_the_outside(fay_id: int, venue: int, kind: str) -> None:
    assert sync_cash(seen(fay_id), venue, now=LATER) == venue - 100 * ONE
    entry = LedgerEntry.objects.order_by("pk").last()
    assert entry is not None
    assert (entry.kind, entry.amount_micros, cash(fay_id)) == (kind, 30 * ONE, venue)
    assert "outside:cash" in (entry.debit_account, entry.credit_account)


def test_what_agrees_books_nothing_and_is_remembered(fay_id: int) -> None:
    assert sync_cash(seen(fay_id), 100 * ONE, now=LATER) == 0
    assert LedgerEntry.objects.count() == 1
    assert TradingAccount.objects.get().synced_at == LATER


def test_one_difference_is_booked_once_whoever_found_it(fay_id: int) -> None:
    before = seen(fay_id)
    assert sync_cash(before, 130 * ONE, now=LATER) == 30 * ONE
    assert sync_cash(before, 130 * ONE, now=LATER) is None
    assert cash(fay_id) == 130 * ONE
    assert sync_cash(seen(fay_id), 130 * ONE, now=LATER) == 0


def test_an_account_that_has_no_books_yet_begins_with_the_venues_money() -> None:
    follower = FollowerFactory()
    TradingAccount.objects.create(follower=follower, signer=follower.wallet)
    assert sync_cash(seen(follower.pk), 25 * ONE, now=LATER) == 25 * ONE
    assert cash(follower.pk) == 25 * ONE


@pytest.mark.parametrize("status", [Status.READY, Status.PENDING, Status.UNKNOWN, Status.LIVE, Status.MATCHED])
def test_nothing_is_booked_while_something_is_open(status: Status) -> None:
    trade = trade_in(status)
    assert at_rest(trade.follower_id, now=LATER) is None


def test_what_opened_while_the_venue_was_asked_stops_it(fay_id: int) -> None:
    before = seen(fay_id)
    trade_in(Status.PENDING, follower_id=fay_id)
    assert sync_cash(before, 130 * ONE, now=LATER) is None
    assert cash(fay_id) == 100 * ONE


def test_the_venue_is_given_a_minute_after_the_last_fill() -> None:
    trade = trade_in(Status.EXECUTED)
    assert trade.executed_at is not None
    assert at_rest(trade.follower_id, now=trade.executed_at + QUIET / 2) is None
    assert at_rest(trade.follower_id, now=trade.executed_at + QUIET) is not None


def test_money_that_moved_in_our_books_meanwhile_stops_it(fay_id: int) -> None:
    before = seen(fay_id)
    deposit_cash([fay_id], ONE, key="second")
    assert sync_cash(before, 130 * ONE, now=LATER) is None


def test_an_entry_written_twice_is_refused_whole(fay_id: int) -> None:
    before = seen(fay_id)
    LedgerEntry.objects.create(
        key=f"venue-cash:{fay_id}:{before.last_entry}",
        kind="DEPOSIT",
        debit_account="operator:a",
        credit_account="operator:b",
        asset="pUSD",
        amount_micros=1,
    )
    with pytest.raises(IntegrityError):
        sync_cash(before, 130 * ONE, now=LATER)
