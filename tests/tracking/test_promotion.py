"""The move of a copy that waited: once, by its token, the oldest first."""

from datetime import timedelta

import pytest

from copytrading.models import CopyTrade
from copytrading.operations.prewrite import Written
from copytrading.operations.waiting import Promotion, due_ready, promote
from copytrading.queries import Shard
from ledger.models import CashBalance
from tests.tracking.exchange import ExchangeWorld, statuses
from tests.world import TOKEN

pytestmark = pytest.mark.django_db


def reserved() -> int:
    return CashBalance.objects.get().reserved_micros


def kept(exchange: ExchangeWorld, monkeypatch: pytest.MonkeyPatch) -> Promotion:
    """What a look would have written, kept back."""
    exchange.follower()
    exchange.rates.wait_ms = 500
    exchange.copy(exchange.row())
    exchange.rates.wait_ms = 0
    found: list[Promotion] = []

    def keep(work: Promotion) -> Written:
        found.append(work)
        return Written(reserved=(), rows=())

    monkeypatch.setattr("copytrading.tracking.waiting.promote", keep)
    exchange.look(after=1)
    (work,) = found
    return Promotion(**{name: getattr(work, name) for name in Promotion.__dataclass_fields__} | {"lease": None})


def test_a_ready_copy_is_moved_once_whoever_else_looked(
    exchange: ExchangeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = kept(exchange, monkeypatch)
    assert len(promote(work).reserved) == 1
    before = reserved()
    assert (promote(work).rows, reserved()) == ((), before)


def test_a_ready_copy_under_another_token_is_left_alone(
    exchange: ExchangeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = kept(exchange, monkeypatch)
    CopyTrade.objects.update(lock_token="f" * 32)
    assert (promote(work).rows, statuses(exchange), reserved()) == ((), ["READY"], 0)


def test_only_what_is_due_is_looked_at_oldest_first(exchange: ExchangeWorld) -> None:
    exchange.follower("Fay")
    exchange.follower("Fred")
    exchange.rates.wait_ms = 500
    exchange.copy(exchange.row())
    at = exchange.clock.now()
    assert due_ready(now=at, limit=9, shard=Shard()) == []
    due = due_ready(now=at + timedelta(seconds=1), limit=9, shard=Shard())
    assert [row.pk for row in due] == sorted(row.pk for row in exchange.trades())
    assert due[0].token_id == TOKEN
