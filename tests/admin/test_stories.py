"""The pages that answer "How is it going?" for a follower and for a leader."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from copytrading.admin import stories
from copytrading.explain.accounts import configs_of, holdings_of, holds_on, money_of, newest_signals, spending_of
from copytrading.explain.progress import copies_of
from copytrading.models import CopiedPosition, CopyConfig, CopyTrade, Follower, Leader, LeaderPosition, Standing
from copytrading.quality import queries
from copytrading.states import Status
from execution.models import Market
from guardrails.models import Breaker, Budget, Scope, Switch
from ledger.models import CommissionLog
from ledger.sql import database_now
from ledger.units import ONE
from tests.admin.pages import address, read
from tests.doors import BEGINNING
from tests.factories import CopyTradeFactory, FollowerFactory, MarketFactory, PositionFactory, SignalFactory, trade_in

pytestmark = [
    pytest.mark.django_db,
    # whitenoise, before the first `collectstatic`
    pytest.mark.filterwarnings("ignore:No directory at:UserWarning"),
]


def story(client: Client, who: str, person_id: int, **query: str) -> str:
    response = client.get(reverse(f"admin:copytrading_{who}_story", args=[person_id]), query)
    assert response.status_code == 200
    return response.content.decode()


def executed(config: CopyConfig, *, made_of: dict[str, Any] | None = None, **fields: Any) -> CopyTrade:
    trade = trade_in(Status.EXECUTED, config=config, **(made_of or {}))
    if fields:
        CopyTrade.objects.filter(pk=trade.pk).update(**fields)
    return trade


# --- Copies -------------------------------------------------------------------------------------------


def test_copies_are_counted_by_outcome_and_skips_by_reason(fay_config: CopyConfig) -> None:
    executed(fay_config)
    trade_in(Status.FAILED, config=fay_config)
    both = [{"reason": "MAX_ODDS", "value": 1}, {"reason": "BELOW_MINIMUM", "value": 1}]
    CopyTradeFactory(config=fay_config, reasons=both)
    CopyTradeFactory(config=fay_config, reasons=[both[0], {"reason": "LEADER_POSITION_UNKNOWN", "note": True}])
    CopyTradeFactory()
    found = copies_of("follower", fay_config.follower_id, window="all", now=BEGINNING)
    assert found.by_status == (("SKIPPED", 2), ("EXECUTED", 1), ("FAILED", 1))
    assert [(each.reason, each.count) for each in found.skips] == [("MAX_ODDS", 2), ("BELOW_MINIMUM", 1)]
    assert [each.reason for each in found.notes] == ["LEADER_POSITION_UNKNOWN"]
    assert found.skips[0].means == "The price is above the highest at which the follower buys."


def test_copies_of_a_leader_are_those_of_all_its_followers(fay_config: CopyConfig, fred_config: CopyConfig) -> None:
    for config in (fay_config, fred_config):
        CopyTradeFactory(config=config)
    assert copies_of("leader", fay_config.leader_id, window="all", now=BEGINNING).seen == 2
    assert copies_of("follower", fay_config.follower_id, window="all", now=BEGINNING).seen == 1


@pytest.mark.parametrize(("window", "seen"), [("24h", 1), ("7d", 2), ("30d", 3), ("all", 4)])
def test_window_bounds_the_copies(fay_config: CopyConfig, window: str, seen: int) -> None:
    for days in (40, 20, 3, 0):
        CopyTradeFactory(config=fay_config, decided_at=BEGINNING - timedelta(days=days, hours=1))
    assert copies_of("follower", fay_config.follower_id, window=window, now=BEGINNING).seen == seen


def test_copies_beyond_the_bound_are_left_out_and_that_is_said(
    admin_client: Client, fay_config: CopyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "COPIES_MAX", 2)
    monkeypatch.setattr(stories, "COPIES_MAX", 2)
    CopyTradeFactory.create_batch(3, config=fay_config)
    found = copies_of("follower", fay_config.follower_id, window="all", now=BEGINNING)
    assert (found.seen, found.cut) == (2, True)
    assert "The newest 2 copies of all time; there are more." in story(
        admin_client, "follower", fay_config.follower_id, window="all"
    )


# --- Money --------------------------------------------------------------------------------------------


def test_profit_of_open_positions_counts_those_whose_price_is_known(fay: Follower) -> None:
    market = MarketFactory(first_price_micros=750_000)
    PositionFactory(follower=fay, token_id=market.first_token_id, condition_id=market.condition_id, realised_micros=ONE)
    PositionFactory(follower=fay, token_id=market.second_token_id, condition_id=market.condition_id, fees_micros=5)
    money = money_of(fay.pk)
    assert (money.realised_micros, money.fees_micros, money.cash_micros) == (ONE, 5, 10_000 * ONE)
    assert (money.unrealised_micros, money.unpriced, money.open_positions) == (50 * ONE, 1, 2)
    assert {each.outcome: each.profit_micros for each in money.holdings} == {"Yes": 50 * ONE, "No": None}


def test_open_positions_are_worth_what_leaders_last_paid_when_the_market_says_nothing(fay: Follower) -> None:
    market = MarketFactory(first_price_micros=None, second_price_micros=None)
    fields = {"condition_id": market.condition_id, "token_id": market.first_token_id}
    for number, price in enumerate((900_000, 750_000)):
        SignalFactory(price_micros=price, detected_at=BEGINNING + timedelta(seconds=number), **fields)
    for token in (market.first_token_id, market.second_token_id):
        PositionFactory(follower=fay, token_id=token, condition_id=market.condition_id)
    money = money_of(fay.pk)
    assert {each.outcome: each.profit_micros for each in money.holdings} == {"Yes": 50 * ONE, "No": -50 * ONE}
    assert (money.unrealised_micros, money.unpriced) == (0, 0)


def test_commissions_are_told_as_earned_and_as_caused_without_those_reversed(fay: Follower) -> None:
    for number, state in enumerate(("EARNED", "PAID", "REVERSED")):
        trade = trade_in(Status.EXECUTED)
        CommissionLog.objects.create(
            referrer=fay, follower=trade.follower, trade=trade, profit_micros=100 * ONE, rate_bps=100,
            amount_micros=(number + 1) * ONE, state=state,
        )  # fmt: skip
    assert money_of(fay.pk).earned_micros == 3 * ONE
    assert money_of(CommissionLog.objects.order_by("pk")[0].follower_id).caused_micros == ONE


def test_limits_are_told_beside_what_this_hour_and_day_have_used(fred: Follower) -> None:
    day = BEGINNING.replace(hour=0, minute=0)
    Budget.objects.create(scope="FOLLOWER", key=str(fred.pk), period="DAY", starts_at=day, spent_micros=ONE // 4)
    Budget.objects.create(scope="FOLLOWER", key=str(fred.pk), period="DAY", starts_at=day - timedelta(days=1), count=9)
    found = spending_of(Scope.FOLLOWER, str(fred.pk), fred, now=BEGINNING)
    daily = next(each for each in found if each.name == "This UTC day" and each.unit == "money")
    assert (daily.spent, daily.limit, daily.percent) == (ONE // 4, ONE, 25)
    assert [each.limit for each in found if each is not daily] == [None, None, None]


def test_configs_are_told_in_words_with_their_stop(fay_config: CopyConfig) -> None:
    Standing.objects.create(
        config=fay_config, profit_micros=-5 * ONE, peak_micros=ONE, stopped_at=BEGINNING, stopped_reason="STOP_LOSS"
    )
    (each,) = configs_of(follower_id=fay_config.follower_id)
    assert (each.profit_micros, each.peak_micros, each.stopped_reason) == (-5 * ONE, ONE, "STOP_LOSS")
    assert each.words.startswith("Copies 10 % of Lena's shares, at most $100.00 a trade")


def test_switches_and_breakers_on_somebody_or_on_everybody_are_told(fay: Follower) -> None:
    Switch.objects.create(scope="FOLLOWER", key=str(fay.pk), on=True, why="odd")
    Switch.objects.create(scope="FOLLOWER", key=str(fay.pk + 1), on=True)
    Switch.objects.create(scope="GLOBAL", kind="DRY_RUN", on=True)
    Switch.objects.create(scope="GLOBAL", kind="PAUSE", on=False)
    Breaker.objects.create(kind="FAILURE_RATE", scope="GLOBAL", state="OPEN", opened_at=BEGINNING)
    for venue in ("paper", "clob"):
        Breaker.objects.create(kind="UNKNOWN_RATE", scope="VENUE", key=venue, state="OPEN", opened_at=BEGINNING)
    assert [each.words for each in holds_on(Scope.FOLLOWER, str(fay.pk))] == [
        f"Pause of follower {fay.pk} is on", "Dry run of everything is on",
        "Failure rate breaker for everything is open", "Unknown rate breaker for venue paper is open",
    ]  # fmt: skip


# --- Leaders ------------------------------------------------------------------------------------------


def test_newest_signals_are_told_with_how_many_copied_them(fay_config: CopyConfig, fred_config: CopyConfig) -> None:
    signal = SignalFactory(group__leader=fay_config.leader)
    executed(fay_config, made_of={"signal": signal})
    CopyTradeFactory(config=fred_config, signal=signal)
    SignalFactory(group__leader=fay_config.leader, done_at=None, detected_at=BEGINNING + timedelta(seconds=1))
    newest, older = [each for each in newest_signals(fay_config.leader_id) if each.signal_id >= signal.pk][:2]
    assert (newest.state, newest.by_status) == ("open", ())
    assert (older.signal_id, older.state) == (signal.pk, "decided")
    assert older.by_status == (("EXECUTED", 1), ("SKIPPED", 1))


def test_known_holdings_of_a_leader_are_valued(lena: Leader) -> None:
    market = MarketFactory(second_price_micros=250_000)
    for token, known in ((market.second_token_id, True), (market.first_token_id, False)):
        LeaderPosition.objects.create(
            leader=lena, token_id=token, condition_id=market.condition_id, size_micros=400 * ONE, known=known
        )
    (holding,) = holdings_of(lena.pk)
    assert (holding.outcome, holding.worth_micros) == ("No", 100 * ONE)


def test_profit_of_a_leader_that_nobody_measured_is_unknown(admin_client: Client, fay_config: CopyConfig) -> None:
    assert "measured for configs that have a stop; none has one yet" in story(
        admin_client, "leader", fay_config.leader_id
    )
    Standing.objects.create(config=fay_config, profit_micros=-5 * ONE, peak_micros=0)
    assert "-$5.00" in story(admin_client, "leader", fay_config.leader_id)


def test_leaders_page_says_what_its_copies_have_realised(admin_client: Client, fay_config: CopyConfig) -> None:
    for token, cents in ((1, 1_250), (2, -50)):
        CopiedPosition.objects.create(
            config=fay_config, token_id=token, realised_micros=cents * 10_000, fees_micros=10_000 * token
        )
    page = story(admin_client, "leader", fay_config.leader_id)
    assert "$12.00" in page
    assert "before $0.03 of fees" in page


# --- The pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", ["24h", "7d", "30d", "all", "nonsense"])
def test_pages_show_everything_in_peoples_units(admin_client: Client, fay_config: CopyConfig, window: str) -> None:
    now = database_now()
    trade = executed(fay_config, decided_at=now, detected_at=now, executed_at=now)
    CopyTradeFactory(config=fay_config, decided_at=now, detected_at=now)
    Market.objects.all().delete()
    PositionFactory(follower=fay_config.follower)
    for who, person_id in (("follower", trade.follower_id), ("leader", trade.leader_id)):
        page = story(admin_client, who, person_id, window=window)
        assert "The copy would have been smaller than the venue takes." in page
        assert "micros" not in page
    assert "$10,000.00" in story(admin_client, "follower", trade.follower_id)


def test_page_of_a_copy_leads_to_the_stories_and_to_its_reasons(admin_client: Client) -> None:
    trade = CopyTradeFactory()
    page = read(admin_client, CopyTrade, "change", trade.pk)
    for who in ("follower", "leader"):
        assert reverse(f"admin:copytrading_{who}_story", args=[getattr(trade, f"{who}_id")]) in page
    assert f"{reverse('admin:copytrading_why')}?signal={trade.signal_id}&amp;follower={trade.follower_id}" in page


def test_page_of_nobody_is_not_found(admin_client: Client) -> None:
    assert admin_client.get(reverse("admin:copytrading_follower_story", args=[999_999])).status_code == 404


@pytest.mark.parametrize("model", [Follower, Leader])
def test_lists_and_pages_of_people_lead_to_their_story(admin_client: Client, model: type, lena: Leader) -> None:
    row = lena if model is Leader else FollowerFactory()
    url = reverse(f"admin:copytrading_{model.__name__.lower()}_story", args=[row.pk])
    assert url in read(admin_client, model)
    assert 'href="../story/"' in read(admin_client, model, "change", row.pk)
    assert address(model, "change", row.pk).endswith(f"/{row.pk}/change/")
