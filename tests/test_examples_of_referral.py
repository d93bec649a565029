"""The worked examples of referral: Fay was referred by Fred, and the tier is 5 % from the first dollar on.

| in | out |
|---|---|
| Fay buys 100 @ 0.50 and sells 100 @ 0.60 | profit $10; the operator owes Fred $0.50; Fay's cash is not touched |
| the sell is reversed | commission REVERSED, every account as before the sell; FAILED (REVERSED), watched for a day |
| the sell's fill appears after all | EXECUTED, an incident (LATE_FILL); EARNED again, every account as after the sell |
"""

from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from copytrading.models import CopyTrade, Follower
from copytrading.operations.reversals import reverse_fill
from copytrading.wiring_choices import commission_tiers
from guardrails.intents import Reason, Refusal
from guardrails.models import GuardrailEvent
from ledger.entries import CASH, account
from ledger.models import CashBalance, CommissionLog
from ledger.units import ONE
from tests.operations.deals import balances, standing
from tests.venues import ScriptedVenue
from tests.world import World, reasons


@pytest.fixture
def sold(make_world: Any, settings: Any) -> tuple[World, Follower, Follower, Any]:
    """The world after the sell, Fay, Fred, and how everything stood before it."""
    settings.COMMISSION_TIERS = "0:500"
    world = make_world()
    fay = world.follower("Fay")
    fred = Follower.objects.create(name="Fred", wallet="0x" + "f5" * 20)
    Follower.objects.filter(pk=fay.pk).update(referrer=fred)
    world.lena_holds(0)
    world.copy(world.row("1000", "0.50", tx=1))
    before = (balances(), standing())
    world.set_book("0.60", "0.60")
    world.copy(world.row("1000", "0.60", tx=2, side="SELL"))
    return world, fay, fred, before


def last_trade() -> CopyTrade:
    """The sell."""
    return CopyTrade.objects.latest("pk")


def owed(fred: Follower) -> int:
    """What the operator owes Fred."""
    return -balances().get((account(fred.pk, "commissions"), CASH), 0)


def commissions() -> list[tuple[str, int, int]]:
    """State, rate and amount of each."""
    return list(CommissionLog.objects.values_list("state", "rate_bps", "amount_micros"))


@pytest.mark.django_db
def test_the_referrer_earns_five_percent_of_ten_dollars(sold: Any) -> None:
    _world, fay, fred, _before = sold
    assert last_trade().status == "EXECUTED"
    assert commissions() == [("EARNED", 500, 500_000)]
    assert owed(fred) == 500_000
    assert CashBalance.objects.get(follower=fay).cash_micros == 10_010 * ONE


@pytest.mark.django_db
def test_a_reversed_sell_takes_the_commission_with_it_and_leaves_every_account_as_before(sold: Any) -> None:
    world, _fay, _fred, before = sold
    assert reverse_fill(last_trade(), refusal=Refusal(Reason.REVERSED), now=world.clock.now())
    assert (balances(), standing()) == before
    assert commissions() == [("REVERSED", 500, 500_000)]
    assert (last_trade().status, reasons(last_trade())) == ("FAILED", [("REVERSED", None, None)])


@pytest.mark.django_db
def test_a_fill_that_comes_back_is_adopted_and_earns_again(sold: Any) -> None:
    world, _fay, fred, _before = sold
    after = (balances(), standing())
    reverse_fill(last_trade(), refusal=Refusal(Reason.REVERSED), now=world.clock.now())
    world.clock.advance(61)
    world.rescue()
    assert last_trade().status == "EXECUTED"
    assert (balances(), standing()) == after
    assert commissions() == [("EARNED", 500, 500_000)] and owed(fred) == 500_000
    assert GuardrailEvent.objects.filter(reason="LATE_FILL", trade=last_trade()).exists()


@pytest.mark.django_db
def test_a_reversed_copy_is_asked_about_like_any_failed_one_however_old_it_is(make_world: Any) -> None:
    world = make_world(venue=ScriptedVenue())
    world.follower()
    (trade,) = world.copy(world.row())
    world.clock.advance(7 * 24 * 3_600)
    reversed_at = world.clock.now()
    reverse_fill(trade, refusal=Refusal(Reason.REVERSED), now=reversed_at)
    asked = []
    while (due := CopyTrade.objects.get().next_retry_at) is not None:
        asked.append((due - reversed_at) // timedelta(minutes=1))
        world.clock.advance((due - world.clock.now()).total_seconds())
        world.rescue()
    assert asked == [1, 5, 30, 6 * 60, 24 * 60]


def test_tiers_that_cannot_be_read_are_a_sentence_of_the_checks_and_stop_the_engine(settings: Any) -> None:
    settings.COMMISSION_TIERS = "0:5%"
    (found,) = [message for message in run_checks(tags=["slipstream"]) if "COMMISSION_TIERS" in message.msg]
    assert found.msg.startswith("COMMISSION_TIERS: '0:5%' is no commission tier; write VOLUME:RATE")
    with pytest.raises(ImproperlyConfigured, match="COMMISSION_TIERS: '0:5%' is no commission tier"):
        commission_tiers()


def test_no_tiers_are_set_by_default(settings: Any) -> None:
    assert settings.COMMISSION_TIERS == "" and commission_tiers() == ()
