"""The story of a copy, step by step, as an operator reads it."""

from datetime import timedelta
from typing import Any

import pytest

from copytrading.dashboard.telling import Step, Telling, tell
from copytrading.explain.reasons import EXPLANATIONS, UNEXPLAINED, explanation, title
from copytrading.models import CopyTrade
from copytrading.states import Status
from guardrails.intents import Reason
from ledger.units import ONE
from tests.doors import BEGINNING
from tests.factories import CopyTradeFactory, MarketFactory, trade_in

TOO_SMALL = {"reason": "BELOW_MINIMUM", "value": 3 * ONE, "limit": 5 * ONE, "unit": "shares"}
TOO_MUCH = {"reason": "FOLLOWER_DAILY_LIMIT", "value": 1_042 * ONE, "limit": 1_000 * ONE, "unit": "money"}
NOTE = {"reason": "LEADER_POSITION_UNKNOWN", "note": True}


def told(trade: CopyTrade, **columns: Any) -> Telling:
    if columns:
        CopyTrade.objects.filter(pk=trade.pk).update(**columns)
    found = tell(trade.pk)
    assert found is not None
    return found


def step(telling: Telling, name: str) -> Step:
    (found,) = (each for each in telling.steps if each.name == name)
    return found


def later(milliseconds: int) -> Any:
    return BEGINNING + timedelta(milliseconds=milliseconds)


@pytest.mark.django_db
def test_executed_copy_is_told_from_the_leaders_trade_to_the_fill() -> None:
    story = told(trade_in(Status.EXECUTED))
    names = [each.name for each in story.steps]
    assert names == ["Leader's trade", "Seen", "Decision", "Price and order", *names[4:-1], "Outcome"]
    assert "bought 1000 shares at 0.5, $500." in step(story, "Leader's trade").text
    assert "Buy 100 shares at 0.51 or better, at most $51." in step(story, "Price and order").text
    assert "The leader's price was 0.5, so up to 200 bps worse." in step(story, "Price and order").text
    assert "Filled 100 shares at" in step(story, "Outcome").text


@pytest.mark.django_db
def test_each_step_says_how_long_it_took() -> None:
    moments = {"detected_at": later(400), "decided_at": later(412), "submitted_at": later(430)}
    story = told(trade_in(Status.EXECUTED), **moments, executed_at=later(495))
    after = {each.name: each.after_ms for each in story.steps if each.after_ms is not None}
    assert after == {"Seen": 400, "Decision": 12, "Sent": 18, "Outcome": 65}
    assert story.total_ms == 95


@pytest.mark.django_db
def test_skipped_copy_has_each_reason_with_value_and_limit() -> None:
    story = told(CopyTradeFactory(reasons=[TOO_SMALL, TOO_MUCH]))
    assert [each.name for each in story.steps] == ["Leader's trade", "Seen", "Decision"]
    first, second = step(story, "Decision").why
    assert (first.title, first.text) == ("Below minimum", "(value 3, limit 5)")
    assert (second.title, second.text) == ("Follower daily limit", "(value $1042, limit $1000)")
    assert second.means == explanation("FOLLOWER_DAILY_LIMIT")


@pytest.mark.django_db
def test_failed_copy_has_its_notes_at_the_decision_and_its_reasons_at_the_outcome() -> None:
    story = told(trade_in(Status.FAILED), reasons=[NOTE, {"reason": "NO_FILL"}])
    assert [(each.title, each.note) for each in step(story, "Decision").why] == [("Leader position unknown", True)]
    assert [(each.title, each.note) for each in step(story, "Outcome").why] == [("No fill", False)]


@pytest.mark.django_db
def test_partial_fill_says_how_much_of_what() -> None:
    story = told(trade_in(Status.EXECUTED), fill_size_micros=60 * ONE)
    assert "Filled 60 of 100 shares" in step(story, "Outcome").text


@pytest.mark.django_db
def test_what_is_booked_of_a_matched_copy_is_told() -> None:
    story = told(trade_in(Status.MATCHED), fill_size_micros=60 * ONE, fill_cost_micros=30 * ONE)
    assert step(story, "Outcome").text.startswith("Filled 60 of 100 shares")
    assert step(story, "Outcome").text.endswith("; other fills are outstanding.")


@pytest.mark.django_db
@pytest.mark.parametrize("status", [Status.PENDING, Status.UNKNOWN, Status.LIVE, Status.MATCHED])
def test_copy_under_way_says_what_it_waits_for(status: Status) -> None:
    outcome = step(told(trade_in(status)), "Outcome")
    assert outcome.text
    assert outcome.at is None


@pytest.mark.django_db
def test_market_is_named_with_what_the_token_pays_on() -> None:
    trade = CopyTradeFactory()
    assert told(trade).market == trade.condition_id
    MarketFactory(condition_id=trade.condition_id, first_token_id=trade.token_id, title="Rain?")
    assert told(trade).market == "Rain? · Yes"


@pytest.mark.django_db
def test_copy_that_is_not_there_has_no_story() -> None:
    assert tell(1) is None


@pytest.mark.django_db
def test_reason_of_a_later_version_is_told_by_its_name() -> None:
    (why,) = step(told(CopyTradeFactory(reasons=[{"reason": "SUN_TOO_BRIGHT"}])), "Decision").why
    assert (why.title, why.text, why.means) == ("Sun too bright", "", UNEXPLAINED)


@pytest.mark.django_db
def test_story_costs_two_queries(django_assert_num_queries: Any) -> None:
    trade = trade_in(Status.EXECUTED)
    with django_assert_num_queries(2):
        tell(trade.pk)


def test_every_reason_is_explained_in_a_sentence() -> None:
    assert [reason for reason in Reason if reason not in EXPLANATIONS] == []
    assert [reason for reason in EXPLANATIONS if not EXPLANATIONS[reason].endswith(".")] == []


def test_titles_are_words() -> None:
    assert title("FOLLOWER_DAILY_LIMIT") == "Follower daily limit"
