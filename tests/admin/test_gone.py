"""A leader's transaction that is not in the chain is told where its copies are: lists, pages, stories, the filter."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from copytrading.dashboard.telling import tell
from copytrading.explain import finding
from copytrading.explain.accounts import newest_signals
from copytrading.explain.progress import copies_of
from copytrading.explain.why import explain
from copytrading.models import CopyConfig, CopyTrade, Signal, SignalGroup, SignalSourceTotal
from copytrading.operations.withdrawals import withdraw
from copytrading.signals import CHAIN_LOGS
from copytrading.states import Status
from ledger.units import ONE
from tests.admin.pages import address, read
from tests.doors import BEGINNING
from tests.factories import CopyTradeFactory, trade_in

pytestmark = [
    pytest.mark.django_db,
    # whitenoise, before the first `collectstatic`
    pytest.mark.filterwarnings("ignore:No directory at:UserWarning"),
]

GONE = "The leader's transaction is not in the chain"
FOUND_AT = BEGINNING + timedelta(minutes=3)
FOUND = "2026-11-21 12:03:00 UTC"


def undo(trade: CopyTrade) -> CopyTrade:
    """The chain undoes the leader's transaction, as the engine records it."""
    group = trade.signal.group
    SignalSourceTotal.objects.create(group=group, source=CHAIN_LOGS, size_micros=ONE, notional_micros=ONE)
    withdraw(CHAIN_LOGS, [group.tx_hash], now=FOUND_AT)
    return trade


@pytest.fixture
def gone(fay_config: CopyConfig) -> CopyTrade:
    """Fay's copy of a trade of Lena's that was undone."""
    return undo(trade_in(Status.EXECUTED, config=fay_config))


@pytest.fixture
def kept(fay_config: CopyConfig) -> CopyTrade:
    """Fay's copy of a trade of Lena's that is in the chain."""
    return trade_in(Status.EXECUTED, config=fay_config)


def told_of(client: Client, trade: CopyTrade) -> dict[str, bool]:
    """Which pages about this copy say so."""
    signal = trade.signal
    people = {"follower": trade.follower_id, "leader": trade.leader_id}
    why = reverse("admin:copytrading_why") + f"?signal={signal.pk}&follower={trade.follower_id}"
    stories = {
        who: reverse(f"admin:copytrading_{who}_story", args=[key]) + "?window=all" for who, key in people.items()
    }
    pages = {
        "copy": address(CopyTrade, "change", trade.pk),
        "signal": address(Signal, "change", signal.pk),
        "trade of the leader": address(SignalGroup, "change", signal.group_id),
        "why": why,
        **stories,
    }
    found = {name: client.get(url).content.decode().replace("&#x27;", "'") for name, url in pages.items()}
    return {name: GONE in page for name, page in found.items()}


def test_every_page_about_the_copy_says_so(admin_client: Client, gone: CopyTrade) -> None:
    told = told_of(admin_client, gone)
    assert told == dict.fromkeys(told, True)


def test_no_page_about_another_copy_says_so(admin_client: Client, kept: CopyTrade) -> None:
    told = told_of(admin_client, kept)
    assert told == dict.fromkeys(told, False)


def test_transaction_that_came_back_is_told_no_more(admin_client: Client, gone: CopyTrade) -> None:
    SignalGroup.objects.update(withdrawn_at=None)
    assert not any(told_of(admin_client, gone).values())


@pytest.mark.parametrize("model", [CopyTrade, Signal, SignalGroup])
def test_pages_of_rows_tell_when_it_was_found(admin_client: Client, gone: CopyTrade, model: type) -> None:
    rows = {CopyTrade: gone, Signal: gone.signal, SignalGroup: gone.signal.group}
    assert f"found {FOUND}" in read(admin_client, model, "change", rows[model].pk)


def test_list_of_copies_says_so_beside_the_reasons(admin_client: Client, gone: CopyTrade, kept: CopyTrade) -> None:
    CopyTrade.objects.filter(pk=gone.pk).update(reasons=[{"reason": "LEADER_POSITION_UNKNOWN", "note": True}])
    page = read(admin_client, CopyTrade)
    assert page.count("Leader position unknown (note); The leader&#x27;s transaction is not in the chain<") == 1


def test_copies_are_filtered_by_it(admin_client: Client, gone: CopyTrade, kept: CopyTrade) -> None:
    page = read(admin_client, CopyTrade, leader_trade="gone")
    assert address(CopyTrade, "change", gone.pk) in page
    assert address(CopyTrade, "change", kept.pk) not in page
    assert address(CopyTrade, "change", kept.pk) in read(admin_client, CopyTrade, leader_trade="nonsense")


def test_filter_looks_back_a_bounded_way(gone: CopyTrade, monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding.signals_gone() == {gone.signal_id: FOUND_AT}
    monkeypatch.setattr(finding, "NEWEST_KEYS", 5)
    CopyTradeFactory.create_batch(6)
    assert finding.signals_gone() == {}


def test_stories_count_such_copies_and_lead_to_them(admin_client: Client, gone: CopyTrade, kept: CopyTrade) -> None:
    found = copies_of("follower", gone.follower_id, window="all", now=BEGINNING)
    assert (found.seen, found.gone, found.gone_at) == (2, 1, FOUND_AT)
    url = reverse("admin:copytrading_follower_story", args=[gone.follower_id])
    page = admin_client.get(url, {"window": "all"}).content.decode()
    query = f"follower__id__exact={gone.follower_id}&amp;leader_trade=gone"
    assert f'<a href="{address(CopyTrade, "changelist")}?{query}">1 copy</a> of all time' in page
    assert f"the last found {FOUND}" in page


def test_copies_of_others_are_not_counted(gone: CopyTrade, fred_config: CopyConfig) -> None:
    undo(CopyTradeFactory(config=fred_config))
    assert copies_of("follower", gone.follower_id, window="all", now=BEGINNING).gone == 1
    assert copies_of("leader", gone.leader_id, window="all", now=BEGINNING).gone == 2


def test_newest_signals_of_a_leader_tell_it(gone: CopyTrade, kept: CopyTrade) -> None:
    told = {each.signal_id: each.gone_at for each in newest_signals(gone.leader_id)}
    assert told == {gone.signal_id: FOUND_AT, kept.signal_id: None}


def test_answer_why_tells_it_with_the_time(gone: CopyTrade) -> None:
    signal = Signal.objects.select_related("group", "leader").get(pk=gone.signal_id)
    assert explain(signal, gone.follower).steps[1] == f"{GONE}; that was found on 2026-11-21 at 12:03:00 UTC."


def test_story_of_a_copy_ends_with_it(gone: CopyTrade) -> None:
    told = tell(gone.pk)
    assert told is not None
    last = told.steps[-1]
    assert (last.name, last.at) == ("Leader's trade gone", FOUND_AT)
    assert last.text == f"{GONE}. The copy is a trade of its own and stays."


def test_story_of_a_copy_that_was_never_sent_does_not_call_it_a_trade(fay_config: CopyConfig) -> None:
    told = tell(undo(CopyTradeFactory(config=fay_config)).pk)
    assert told is not None
    assert told.steps[-1].text == f"{GONE}."


def test_story_of_a_copy_whose_leader_traded_well_does_not_mention_it(kept: CopyTrade) -> None:
    told = tell(kept.pk)
    assert told is not None
    assert told.steps[-1].name == "Outcome"


def test_pages_ask_as_often_for_many_such_copies_as_for_one(admin_client: Client, gone: CopyTrade) -> None:
    story = reverse("admin:copytrading_follower_story", args=[gone.follower_id]) + "?window=all"
    filtered = address(CopyTrade, "changelist") + "?leader_trade=gone"
    counts = []
    for more in (0, 20):
        for _number in range(more):
            undo(trade_in(Status.EXECUTED, config=gone.config))
        for url in (story, filtered):
            with CaptureQueriesContext(connection) as asked:
                assert admin_client.get(url).status_code == 200
            counts.append(len(asked))
    assert counts[:2] == counts[2:]
