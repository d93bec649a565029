"""What a newcomer reads in the lists: where they are, what happened, in people's units."""

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from copytrading.explain.reasons import UNEXPLAINED, explanation
from copytrading.models import CopyConfig, CopyTrade, Leader, LeaderPosition, ShardStandby, Signal
from copytrading.states import Status
from guardrails.models import Breaker, Budget, GuardrailEvent, Switch, words_of
from ledger.models import AuditEntry
from ledger.units import ONE
from tests.admin.pages import address, read
from tests.admin.test_people import config_form
from tests.doors import BEGINNING
from tests.factories import CopyTradeFactory, SignalFactory, trade_in

pytestmark = [
    pytest.mark.django_db,
    # whitenoise, before the first `collectstatic`
    pytest.mark.filterwarnings("ignore:No directory at:UserWarning"),
]

EVENTS = address(GuardrailEvent, "changelist")


def marked(page: str) -> list[str]:
    """The addresses of the sidebar that are highlighted."""
    links = re.findall(r"<a href=\"([^\"]+)\"([^>]*)>", page)
    return [link for link, rest in links if re.search(r"class=\"[^\"]*\bactive\b", rest)]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (address(CopyTrade, "changelist"), [address(CopyTrade, "changelist")]),
        (reverse("admin:index"), []),
        (EVENTS, [EVENTS]),
        (f"{EVENTS}?shown=incidents", [f"{EVENTS}?shown=incidents"]),
    ],
)
def test_sidebar_marks_only_where_one_is(admin_client: Client, url: str, expected: list[str]) -> None:
    assert marked(admin_client.get(url).content.decode()) == expected


def cell(page: str, name: str) -> str:
    """The text of the only row's cell."""
    (found,) = re.findall(rf'<td class="[^"]*field-{name}\b[^"]*"[^>]*>(.*?)</td>', page, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", found).split())


def test_copy_without_an_order_shows_no_limit(admin_client: Client) -> None:
    CopyTradeFactory(status=Status.SKIPPED, limit_micros=0)
    assert cell(read(admin_client, CopyTrade), "limit") == "-"


def test_list_that_a_search_emptied_says_so(admin_client: Client) -> None:
    assert "No copy trade fits this search and these filters." in read(admin_client, CopyTrade, q="nobody")


def test_list_that_is_empty_says_so(admin_client: Client) -> None:
    page = read(admin_client, CopyTrade)
    assert "There are no copy trades yet." in page
    assert "fits this search" not in page


def test_copy_without_a_fill_shows_no_price(admin_client: Client) -> None:
    trade_in(Status.FAILED)
    page = read(admin_client, CopyTrade)
    assert (cell(page, "filled"), cell(page, "fill_price")) == ("-", "-")


def test_copy_with_a_fill_shows_it(admin_client: Client) -> None:
    trade_in(Status.EXECUTED)
    assert cell(read(admin_client, CopyTrade), "fill_price") == "0.50"


@pytest.mark.parametrize(
    ("status", "colour"), [(Status.EXECUTED, "green"), (Status.FAILED, "red"), (Status.UNKNOWN, "orange")]
)
def test_status_is_a_badge_with_its_colour_in_light_and_dark(admin_client: Client, status: Status, colour: str) -> None:
    trade_in(status)
    badge = re.search(rf'<span class="([^"]*)"[^>]*>\s*{status.value}\s*<', read(admin_client, CopyTrade))
    assert badge is not None
    assert {f"bg-{colour}-100", f"dark:text-{colour}-400"} <= set(badge[1].split())


@pytest.mark.parametrize(("status", "watched"), [(Status.FAILED, True), (Status.UNKNOWN, False)])
def test_failed_copy_is_watched_and_not_tried_again(admin_client: Client, status: Status, watched: bool) -> None:
    trade = trade_in(status)
    CopyTrade.objects.filter(pk=trade.pk).update(next_retry_at=BEGINNING)
    page = read(admin_client, CopyTrade, "change", trade.pk)
    assert "Next look at" in page
    assert ("only watched for a late fill" in page) is watched


def test_incidents_are_listed_without_the_many_refusals(admin_client: Client) -> None:
    trade = CopyTradeFactory()
    for reason, copy in (("MAX_ODDS", trade), ("OVERSOLD", trade), ("STOP_LOSS", None)):
        GuardrailEvent.objects.create(reason=reason, trade=copy)
    page = read(admin_client, GuardrailEvent, shown="incidents")
    listed = re.findall(r"field-reason_text\b.*?>\s*(?:<a[^>]*>)?\s*([A-Za-z ]+)<", page, re.DOTALL)
    assert sorted(listed) == ["Oversold", "Stop loss"]


def test_reasons_of_failures_lead_to_their_copies(admin_client: Client, fay_config: CopyConfig) -> None:
    trade = trade_in(Status.FAILED, config=fay_config)
    CopyTrade.objects.filter(pk=trade.pk).update(reasons=[{"reason": "NO_FILL"}])
    GuardrailEvent.objects.create(reason="NO_FILL", trade=trade)
    url = reverse("admin:copytrading_follower_story", args=[fay_config.follower_id])
    page = admin_client.get(url, {"window": "all"}).content.decode()
    query = f"follower__id__exact={fay_config.follower_id}&amp;reason=NO_FILL"
    assert f"{address(CopyTrade, 'changelist')}?{query}" in page
    copies = read(admin_client, CopyTrade, follower__id__exact=str(fay_config.follower_id), reason="NO_FILL")
    assert address(CopyTrade, "change", trade.pk) in copies


def test_log_tells_amounts_in_peoples_units_and_keeps_them_as_stored(admin_client: Client) -> None:
    # In the order in which Postgres keeps keys.
    before = {"shares_micros": 2_500_000, "percentage_bps": 10, "max_odds_micros": 950_000, "max_trade_micros": None}
    after = {
        "shares_micros": 3 * ONE,
        "percentage_bps": 20,
        "max_odds_micros": 900_000,
        "max_trade_micros": 1_234_500_000,
    }
    entry = AuditEntry.objects.create(actor="olga", action="change", subject="x.y", before=before, after=after)
    page = read(admin_client, AuditEntry)
    assert "shares: 2.5 shares → 3 shares; percentage_bps: 10 → 20; max_odds: 0.95 → 0.90; " in page
    assert 'title="max_trade: none → $1,234.50">and 1 more<' in page
    assert "$1,234.50" in read(admin_client, AuditEntry, "change", entry.pk)
    entry.refresh_from_db()
    assert entry.after == after


@pytest.mark.parametrize(
    ("stored", "told"),
    [([[0, 1_000], [50_000_000, 250]], "10 % from $0.00, 2.5 % from $50.00"), ([["odd"]], "[[&quot;odd&quot;]]")],
)
def test_log_tells_tiers_in_words_when_they_are_some(admin_client: Client, stored: object, told: str) -> None:
    AuditEntry.objects.create(
        actor="olga", action="change", subject="x.y", before={"tiers": []}, after={"tiers": stored}
    )
    assert f"tiers: - → {told}" in read(admin_client, AuditEntry)


def test_config_says_its_units(admin_client: Client, fay_config: CopyConfig) -> None:
    page = read(admin_client, CopyConfig, "change", fay_config.pk)
    for label in ("Percentage (bps)", "Slippage at most (bps)", "Max trade (dollars)", "Max days out (days)"):
        assert label in page


@pytest.mark.parametrize(("bankroll_micros", "warned"), [(None, True), (10**9, False)])
def test_proportional_config_of_a_leader_without_a_known_bankroll_warns(
    admin_client: Client, fay_config: CopyConfig, bankroll_micros: int | None, warned: bool
) -> None:
    leader = fay_config.leader
    type(leader).objects.filter(pk=leader.pk).update(bankroll_micros=bankroll_micros)
    form = config_form(fay_config, sizing="PROPORTIONAL")
    page = admin_client.post(address(CopyConfig, "change", fay_config.pk), form, follow=True).content.decode()
    fay_config.refresh_from_db()
    assert fay_config.sizing == "PROPORTIONAL"
    assert ("The bankroll of Lena is not known yet" in page) is warned


def test_config_that_cannot_be_typed_is_told_in_peoples_units(
    client: Client, olga: User, fay_config: CopyConfig
) -> None:
    told = {"tiers": [[0, 1_000], [1_000 * ONE, 250]], "keywords": ["rain", "snow"], "slippage_bps_max": 150}
    CopyConfig.objects.filter(pk=fay_config.pk).update(sizing="TIERED", **told)
    olga.user_permissions.add(Permission.objects.get(codename="view_copyconfig"))
    client.force_login(olga)
    page = read(client, CopyConfig, "change", fay_config.pk)
    for text in ("10 % from $0.00, 2.5 % from $1,000.00", "rain, snow", "1.5 %"):
        assert f">{text}<" in page


def test_change_leaves_out_what_stayed_the_same(admin_client: Client) -> None:
    before, after = {"state": "CLOSED", "probe_at": None}, {"state": "OPEN", "probe_at": None}
    AuditEntry.objects.create(actor="olga", action="override", subject="x.y", before=before, after=after)
    assert cell(read(admin_client, AuditEntry), "change_text") == "state: CLOSED → OPEN"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (Switch(kind="PAUSE", scope="GLOBAL"), "Pause of everything"),
        (Switch(kind="DRY_RUN", scope="LEADER", key="2"), "Dry run of leader 2"),
        (Breaker(kind="FAILURE_RATE", scope="GLOBAL"), "Failure rate breaker for everything"),
        (Breaker(kind="CONSECUTIVE_LOSSES", scope="FOLLOWER", key="7"), "Consecutive losses breaker for follower 7"),
        (
            Budget(scope="MARKET", key="0xc0", period="DAY", starts_at=BEGINNING),
            "Day of market 0xc0 from 2026-11-21 12:00",
        ),
        (GuardrailEvent(reason="STREAM_DEGRADED"), "Stream degraded"),
    ],
)
def test_rows_of_the_guardrails_are_named_in_words(row: Model, words: str) -> None:
    assert str(row) == words


def test_page_of_a_switch_names_it_in_words_above(admin_client: Client) -> None:
    switch = Switch.objects.create(scope="LEADER", key="2")
    page = read(admin_client, Switch, "change", switch.pk)
    assert "Pause of leader 2" in page
    assert "PAUSE LEADER 2" not in page


ENGINE_NEWS = (
    *("WITHDRAWN", "HISTORY_MISSED", "PURGED", "QUEUE_FULL", "QUEUE_DOWN", "QUEUE_BACK"),
    *("LOAD_SHED", "LOAD_NORMAL", "STREAM_DEGRADED", "STREAM_RECOVERED"),
    *("UNSETTLED", "WRITTEN_OFF", "UNSOLD", "AUDIT_DIFFERENCE"),
)


@pytest.mark.parametrize("reason", ENGINE_NEWS)
def test_news_of_the_engine_are_incidents_in_words(admin_client: Client, reason: str) -> None:
    GuardrailEvent.objects.create(reason=reason, trade=CopyTradeFactory())
    page = read(admin_client, GuardrailEvent, shown="incidents")
    assert f">{words_of(reason)}<" in re.sub(r"\s*<", "<", re.sub(r">\s*", ">", page))
    assert explanation(reason) != UNEXPLAINED


def test_process_that_stands_by_is_listed_with_its_shard(admin_client: Client) -> None:
    ShardStandby.objects.create(holder="trader-2:77", shard=0, of=2, since=BEGINNING)
    page = read(admin_client, ShardStandby)
    assert "trader-2:77 for shard 0/2" in page
    assert "1 shard standby" in page


def test_config_opens_standing_positions_by_a_field_in_words(admin_client: Client, fay_config: CopyConfig) -> None:
    page = read(admin_client, CopyConfig, "change", fay_config.pk)
    assert "Open standing positions" in page
    CopyConfig.objects.filter(pk=fay_config.pk).update(open_standing=True)
    assert "When copying begins, buys what the leader holds too." in read(admin_client, CopyConfig)


def test_leader_says_when_its_positions_were_read(admin_client: Client, fay_config: CopyConfig) -> None:
    leader = fay_config.leader
    url = reverse("admin:copytrading_leader_story", args=[leader.pk])
    assert "never read whole" in admin_client.get(url).content.decode()
    Leader.objects.filter(pk=leader.pk).update(holdings_read_at=BEGINNING)
    LeaderPosition.objects.create(leader=leader, token_id=1, read_at=BEGINNING)
    assert "read whole 2026-11-21 12:00:00 UTC" in admin_client.get(url).content.decode()
    assert "Holdings read at" in read(admin_client, Leader, "change", leader.pk)
    assert "Read at" in read(admin_client, LeaderPosition)


def test_signals_that_a_person_gave_up_are_found(admin_client: Client) -> None:
    given_up, other = SignalFactory(dropped_reason="PURGED"), SignalFactory()
    page = read(admin_client, Signal, dropped_reason="PURGED")
    assert address(Signal, "change", given_up.pk) in page
    assert address(Signal, "change", other.pk) not in page
