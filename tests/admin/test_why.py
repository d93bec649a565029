"""The page that answers "Why was this not copied?", for every way in which a copy can be missing."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from copytrading.explain.why import Answer, explain
from copytrading.models import CopyConfig, CopyTrade, Follower, Leader, Signal
from copytrading.operations.archive import archive_skipped
from copytrading.operations.people import save_config
from copytrading.states import Status
from guardrails.models import Switch
from ledger.sql import database_now
from ledger.units import ONE
from tests.doors import BEGINNING
from tests.factories import (
    CopyConfigFactory,
    CopyTradeFactory,
    FollowerFactory,
    MarketFactory,
    SignalFactory,
    digest,
    trade_in,
    wallet,
)

pytestmark = [
    pytest.mark.django_db,
    # whitenoise, before the first `collectstatic`
    pytest.mark.filterwarnings("ignore:No directory at:UserWarning"),
]


@pytest.fixture
def signal(lena: Leader) -> Signal:
    """Lena bought 1,000 at 0.50 a moment ago."""
    return SignalFactory(group__leader=lena, detected_at=database_now() + timedelta(minutes=1))


def answer(signal: Signal, follower: Follower) -> Answer:
    return explain(Signal.objects.select_related("group", "leader").get(pk=signal.pk), follower)


def ask(client: Client, **query: Any) -> str:
    response = client.get(reverse("admin:copytrading_why"), query)
    assert response.status_code == 200
    return response.content.decode()


def refused(config: CopyConfig, signal: Signal, *reasons: dict[str, Any]) -> CopyTrade:
    return CopyTradeFactory(config=config, signal=signal, reasons=list(reasons))


# --- Without a copy -----------------------------------------------------------------------------------


def test_follower_who_never_followed_is_told(signal: Signal, fay: Follower) -> None:
    told = answer(signal, fay)
    assert told.headline == "Not copied: Fay does not follow Lena."
    assert told.steps[1] == "Fay has never followed Lena."


def test_follower_who_followed_only_later_is_told(signal: Signal, fay_config: CopyConfig) -> None:
    Signal.objects.update(detected_at=database_now() - timedelta(days=1))
    told = answer(signal, fay_config.follower)
    assert told.headline == "Not copied: Fay did not follow Lena at that time."
    assert told.steps[1].startswith("Fay did not follow Lena at that time, but since")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"done_at": None, "attempts": 1}, "Not decided yet: the signal is open and was tried 1 of 3 times."),
        ({"dropped_reason": "DEAD_LETTER"}, "Not copied: the signal was dropped. Deciding failed again and again"),
        ({"dropped_reason": "NO_SUBSCRIBERS"}, "Not copied: the signal was dropped. Nobody follows this leader."),
    ],
)
def test_signal_that_was_not_decided_is_told(
    signal: Signal, fay_config: CopyConfig, fields: dict[str, Any], sentence: str
) -> None:
    Signal.objects.update(**fields)
    assert answer(signal, fay_config.follower).headline.startswith(sentence)


def test_exit_of_another_config_is_told(signal: Signal, fay_config: CopyConfig, fred_config: CopyConfig) -> None:
    Signal.objects.update(only_config=fred_config)
    assert "exit of another config" in answer(signal, fay_config.follower).headline
    assert "was not active when" in answer(signal, fred_config.follower).headline


def test_config_that_was_not_active_is_told_with_its_version(lena: Leader, fay_config: CopyConfig) -> None:
    fay_config.active = False
    save_config(fay_config, changed_by="olga")
    late = SignalFactory(group__leader=lena, detected_at=database_now() + timedelta(minutes=1))
    told = answer(late, fay_config.follower)
    assert told.headline == "Not copied: Fay's config was not active at that time."
    assert told.steps[1].startswith("Fay followed Lena by version 2: Not active. Copies 10 % of Lena's shares")


# --- With a copy --------------------------------------------------------------------------------------


def test_refusal_is_told_with_value_limit_and_what_the_config_said_then(signal: Signal, fay_config: CopyConfig) -> None:
    fay_config.max_odds_micros = 850_000
    save_config(fay_config, changed_by="olga")
    refused(fay_config, signal, {"reason": "MAX_ODDS", "value": 920_000, "limit": 850_000, "unit": "price"})
    fay_config.max_odds_micros = 900_000
    save_config(fay_config, changed_by="olga")
    (because,) = answer(signal, fay_config.follower).reasons
    assert because.means == "The price is above the highest at which the follower buys."
    assert because.amounts == "it was 0.92, and the limit 0.85"
    assert because.set_to == "max odds 0.85"


def test_every_reason_is_told(signal: Signal, fay_config: CopyConfig) -> None:
    refused(
        fay_config,
        signal,
        {"reason": "SIDE_FILTERED", "value": None, "limit": None, "unit": ""},
        {"reason": "FACT_MISSING", "value": None, "limit": None, "unit": "", "subject": "category"},
        {"reason": "LEADER_POSITION_UNKNOWN", "note": True},
        {"reason": "FROM_THE_FUTURE", "value": 3, "limit": 2, "unit": "count"},
    )
    told = answer(signal, fay_config.follower)
    assert told.headline == "It was decided not to copy it."
    assert [each.title for each in told.reasons] == [
        "Side filtered", "Fact missing", "Leader position unknown", "From the future",
    ]  # fmt: skip
    assert [each.amounts for each in told.reasons] == ["", "category", "", "it was 3, and the limit 2"]
    assert [each.note for each in told.reasons] == [False, False, True, False]


def test_copy_that_was_made_is_told_with_its_fill_and_delays(admin_client: Client) -> None:
    trade = trade_in(Status.EXECUTED)
    steps = {"decided_at": BEGINNING, "submitted_at": BEGINNING + timedelta(milliseconds=12)}
    CopyTrade.objects.update(**steps, executed_at=BEGINNING + timedelta(milliseconds=40))
    told = answer(trade.signal, trade.follower)
    assert told.copied
    assert told.headline == "It was copied: 100 shares at 0.50, for $50.00 and $0.00 fees."
    assert told.steps[-2:] == ("It was sent 12 ms after the decision.", "It was filled 28 ms after it was sent.")


def test_copy_that_is_booked_in_part_is_told_with_that_part() -> None:
    trade = trade_in(Status.MATCHED)
    CopyTrade.objects.update(fill_size_micros=60 * ONE)
    assert answer(trade.signal, trade.follower).headline == (
        "It is being copied: 60 of 100 shares are confirmed and booked; other fills are outstanding."
    )


@pytest.mark.parametrize(
    "status", [Status.READY, Status.PENDING, Status.UNKNOWN, Status.LIVE, Status.MATCHED, Status.FAILED]
)
def test_copy_on_its_way_is_told(status: Status) -> None:
    trade = trade_in(status)
    told = answer(trade.signal, trade.follower)
    assert not told.copied
    assert told.trade_id == trade.pk
    assert told.headline.endswith(".")


def test_copy_that_went_to_the_archive_is_still_told(signal: Signal, fay_config: CopyConfig) -> None:
    refused(fay_config, signal, {"reason": "GLOBAL_PAUSE", "value": None, "limit": None, "unit": ""})
    assert archive_skipped(before=BEGINNING + timedelta(days=1), now=BEGINNING) == 1
    told = answer(signal, fay_config.follower)
    assert (told.headline, told.trade_id) == ("It was decided not to copy it.", None)
    assert told.reasons[0].means == "All copying was paused."


# --- The page -----------------------------------------------------------------------------------------


def test_signal_is_told_with_market_outcome_price_and_when_it_was_heard(
    admin_client: Client, lena: Leader, fay: Follower
) -> None:
    market = MarketFactory()
    heard = SignalFactory(
        group__leader=lena, group__condition_id=market.condition_id, group__token_id=market.first_token_id,
        detected_at=BEGINNING + timedelta(milliseconds=1_500), source="websocket",
    )  # fmt: skip
    page = ask(admin_client, signal=heard.pk, follower="Fay")
    assert f"Lena bought 1,000 Yes shares at 0.50 in “{market.title}” on 2026-11-21 at 12:00:00 UTC." in page
    assert "We heard of it 1,500 ms later, from websocket." in page


@pytest.mark.parametrize("by", ["pk", "wallet", "name"])
def test_signal_is_found_by_transaction_and_follower_by_number_wallet_or_name(
    admin_client: Client, signal: Signal, fay: Follower, by: str
) -> None:
    page = ask(admin_client, signal=signal.group.tx_hash.upper().replace("0X", "0x"), follower=getattr(fay, by))
    assert "Not copied: Fay does not follow Lena." in page


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"signal": "", "follower": "Fay"}, "Name a signal"),
        ({"signal": "999999", "follower": "Fay"}, "We never heard of this"),
        ({"signal": digest("nothing"), "follower": "Fay"}, "We never heard of this"),
        ({"signal": "rain", "follower": "Fay"}, "A signal is a number"),
        ({"signal": "1", "follower": ""}, "Name a follower"),
        ({"signal": "1", "follower": "Nobody"}, "There is no follower with this number, wallet or name."),
        ({"signal": "1", "follower": "Twin"}, "Several followers are called so"),
    ],
)
def test_question_that_cannot_be_answered_is_told_in_a_sentence(
    admin_client: Client, fay: Follower, query: dict[str, str], sentence: str
) -> None:
    for number in range(2):
        FollowerFactory(name="Twin", wallet=wallet(f"twin {number}"))
    assert sentence in ask(admin_client, **query)


@pytest.mark.parametrize(
    ("reason", "place"),
    [
        ("MAX_ODDS", "copytrading_copyconfig"),
        ("FOLLOWER_DAILY_LIMIT", "copytrading_follower"),
        ("LEADER_DAILY_LIMIT", "copytrading_leader"),
        ("MARKET_DAILY_LIMIT", "execution_market"),
        ("LEADER_PAUSED", "guardrails_switch"),
    ],
)
def test_reason_leads_to_what_caused_it(
    admin_client: Client, fay_config: CopyConfig, signal: Signal, reason: str, place: str
) -> None:
    market = MarketFactory(condition_id=signal.condition_id)
    switch = Switch.objects.create(scope="LEADER", key=str(fay_config.leader_id))
    rows = {
        "copytrading_copyconfig": fay_config, "copytrading_follower": fay_config.follower,
        "copytrading_leader": fay_config.leader, "execution_market": market, "guardrails_switch": switch,
    }  # fmt: skip
    refused(fay_config, signal, {"reason": reason, "value": 2 * ONE, "limit": ONE, "unit": "money"})
    page = ask(admin_client, signal=signal.pk, follower=fay_config.follower_id)
    assert reverse(f"admin:{place}_change", args=[rows[place].pk]) in page


def test_page_offers_the_newest_signals(admin_client: Client, signal: Signal) -> None:
    assert f'href="?signal={signal.pk}&amp;follower="' in ask(admin_client)


def test_text_of_people_and_reasons_is_escaped(admin_client: Client, signal: Signal) -> None:
    name = "<script>alert(1)</script>"
    config = CopyConfigFactory(follower=FollowerFactory(name=name), leader=signal.leader)
    refused(config, signal, {"reason": name, "value": None, "subject": name})
    page = ask(admin_client, signal=signal.pk, follower=config.follower_id)
    assert "<script>alert" not in page
    assert escape(name) in page


def test_answer_costs_a_dozen_queries_whatever_the_copies(signal: Signal, fay_config: CopyConfig) -> None:
    refused(fay_config, signal, *({"reason": "MAX_ODDS", "value": 1, "limit": 1, "unit": "price"} for _n in range(5)))
    with CaptureQueriesContext(connection) as asked:
        answer(signal, fay_config.follower)
    assert len(asked) <= 12
