"""The admin: every page renders, money in people's units, and only what operators may change can be changed."""

from collections.abc import Callable

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from copytrading.models import (
    CopyConfig,
    CopyTradeArchive,
    Follower,
    Leader,
)
from copytrading.roles import UNSEEN
from copytrading.states import Status
from execution.models import Market, TradingAccount
from guardrails.models import Switch
from ledger.units import ONE
from tests.admin.pages import address, read
from tests.factories import (
    TOKEN,
    CopyTradeFactory,
    FollowerFactory,
    MarketFactory,
    digest,
    trade_in,
    wallet,
)

pytestmark = [
    pytest.mark.django_db,
    # whitenoise, before the first `collectstatic`
    pytest.mark.filterwarnings("ignore:No directory at:UserWarning"),
]

OURS = [
    model
    for app in ("ledger", "guardrails", "execution", "copytrading")
    for model in apps.get_app_config(app).get_models()
    if model._meta.label not in UNSEEN
]
ADDED_BY_OPERATORS = {Leader, Follower, CopyConfig, Switch}
CHANGED_BY_OPERATORS = ADDED_BY_OPERATORS | {Market, TradingAccount}


def name_of(model: type[Model]) -> str:
    return model._meta.label


# --- Every page ---------------------------------------------------------------------------------------


def test_every_model_has_a_page() -> None:
    assert [model for model in OURS if not admin.site.is_registered(model)] == []


@pytest.mark.parametrize("model", OURS, ids=name_of)
def test_list_shows_the_rows_and_searches_and_sorts_them(world: None, admin_client: Client, model: type[Model]) -> None:
    page = read(admin_client, model)
    assert address(model, "change", model._default_manager.first().pk) in page
    listed = admin.site.get_model_admin(model)
    for number in range(1, len(listed.list_display) + 1):
        read(admin_client, model, o=str(number))
    if listed.search_fields:
        read(admin_client, model, q="nobody 0xab 12")


@pytest.mark.parametrize("model", OURS, ids=name_of)
def test_page_of_a_row_renders_without_raw_micros(world: None, admin_client: Client, model: type[Model]) -> None:
    page = read(admin_client, model, "change", model._default_manager.first().pk)
    assert "micros:" not in page


@pytest.mark.parametrize("model", OURS, ids=name_of)
def test_page_renders_for_staff_who_may_only_look(world: None, client: Client, olga: User, model: type[Model]) -> None:
    olga.user_permissions.add(Permission.objects.get(codename=f"view_{model._meta.model_name}"))
    client.force_login(olga)
    read(client, model)
    page = read(client, model, "change", model._default_manager.first().pk)
    assert 'name="_save"' not in page
    assert "micros:" not in page


@pytest.mark.parametrize("model", sorted(ADDED_BY_OPERATORS, key=name_of), ids=name_of)
def test_page_to_add_renders(admin_client: Client, model: type[Model]) -> None:
    read(admin_client, model, "add")


@pytest.mark.parametrize("model", OURS, ids=name_of)
def test_nothing_is_deleted(world: None, admin_client: Client, model: type[Model]) -> None:
    row = model._default_manager.first()
    assert admin_client.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in read(admin_client, model)
    assert model._default_manager.filter(pk=row.pk).exists()


@pytest.mark.parametrize("model", [each for each in OURS if each not in ADDED_BY_OPERATORS], ids=name_of)
def test_rows_of_the_engine_are_not_added(admin_client: Client, model: type[Model]) -> None:
    assert admin_client.get(address(model, "add")).status_code == 403


@pytest.mark.parametrize("model", [each for each in OURS if each not in CHANGED_BY_OPERATORS], ids=name_of)
def test_rows_of_the_engine_are_not_changed(world: None, admin_client: Client, model: type[Model]) -> None:
    row = model._default_manager.first()
    assert admin_client.post(address(model, "change", row.pk), {}).status_code == 403


@pytest.mark.parametrize("model", OURS, ids=name_of)
def test_list_does_not_count_the_whole_table_twice(model: type[Model]) -> None:
    assert admin.site.get_model_admin(model).show_full_result_count is False


# --- People's units -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("ledger.CashBalance", "$1,234,567.89"),
        ("ledger.LedgerEntry", "$50.00"),
        ("ledger.LedgerEntry", "$0.000001"),
        ("ledger.Debt", "$12.50"),
        ("ledger.CommissionLog", "$10.00"),
        ("guardrails.Budget", "$1,500.00"),
        ("guardrails.GuardrailEvent", "$12,345.00"),
        ("execution.Position", "1,960.07"),
        ("execution.Market", "$2,500.00"),
        ("copytrading.CopyConfig", "$100.00"),
        ("copytrading.Signal", "0.50"),
        ("copytrading.CopyTrade", "0.51"),
        ("copytrading.CopyTradeArchive", "Below minimum (value 3, limit 5)"),
        ("copytrading.LeaderPosition", "2,000"),
    ],
)
def test_list_shows_amounts_as_people_write_them(world: None, admin_client: Client, label: str, text: str) -> None:
    page = read(admin_client, apps.get_model(label))
    assert f">{text}<" in page


def test_sell_reserves_shares_and_not_dollars(admin_client: Client) -> None:
    sell = CopyTradeFactory(pending=True, side="SELL", maker_amount=100 * ONE, taker_amount=51 * ONE)
    page = read(admin_client, type(sell), "change", sell.pk)
    assert ">51 shares<" in page
    assert ">100 shares<" in page
    assert ">$51.00<" in page


def test_list_cuts_token_ids_and_hashes_and_keeps_them_in_the_tooltip(admin_client: Client) -> None:
    trade = trade_in(Status.PENDING)
    page = read(admin_client, type(trade))
    assert f'<span title="{TOKEN}">{str(TOKEN)[:8]}…{str(TOKEN)[-6:]}</span>' in page
    assert f">{trade.order_hash[:8]}…{trade.order_hash[-6:]}<" in page


def test_list_of_copies_says_why_each_was_not_made(admin_client: Client) -> None:
    reasons = [
        {"reason": "PRICE_DEVIATION", "value": 600, "limit": 200, "unit": "bps"},
        {"reason": "LEADER_DAILY_LIMIT", "value": 2_000 * ONE, "limit": 1_500 * ONE, "unit": "money"},
        {"reason": "FOLLOWER_DAILY_COUNT", "value": 4, "limit": 3, "unit": "count"},
        {"reason": "GLOBAL_PAUSE", "value": None, "limit": None, "unit": ""},
        {"reason": "LEADER_POSITION_UNKNOWN", "note": True},
    ]
    CopyTradeFactory(reasons=reasons)
    text = (
        "Price deviation (value 600 bps, limit 200 bps); Leader daily limit (value $2,000.00, limit $1,500.00); "
        "Follower daily count (value 4, limit 3); Global pause; Leader position unknown (note)"
    )
    assert text in read(admin_client, CopyTradeFactory._meta.model)


def test_text_of_a_leader_is_escaped_in_lists_and_pages(admin_client: Client) -> None:
    market = MarketFactory(title="<script>alert(1)</script>", condition_id="<b>" + digest("c")[3:])
    for page in (read(admin_client, Market), read(admin_client, Market, "change", market.pk)):
        assert "<script>alert" not in page
        assert "<b>" not in page


# --- Finding ------------------------------------------------------------------------------------------


def test_copies_are_found_by_reason(world: None, admin_client: Client) -> None:
    trade = CopyTradeFactory._meta.model
    assert "1 copy trade" in read(admin_client, trade, reason="MAX_PER_TRADE")
    assert "0 copy trades" in read(admin_client, trade, reason="GLOBAL_PAUSE")


@pytest.mark.parametrize("query", [digest("my order"), wallet("Fay"), "Fay"])
def test_copies_are_found_by_order_and_by_follower(admin_client: Client, query: str) -> None:
    CopyTradeFactory(config__follower=FollowerFactory(name="Fay"), order_hash=digest("my order"))
    CopyTradeFactory()
    assert "1 copy trade" in read(admin_client, CopyTradeFactory._meta.model, q=query)


@pytest.mark.parametrize("label", [
    "execution.Position", "ledger.CommissionLog", "ledger.Debt", "ledger.ReimbursementLedger",
    "copytrading.CopiedPosition", "copytrading.CarriedSize", "copytrading.LeaderPosition", "copytrading.Signal",
])  # fmt: skip
@pytest.mark.parametrize(("query", "found"), [("name", 1), ("wallet", 1), ("nobody", 0)])
def test_rows_of_people_are_found_by_name_and_wallet(
    world: None, admin_client: Client, label: str, query: str, found: int
) -> None:
    model = apps.get_model(label)
    row = model._default_manager.order_by("pk").first()
    owner = getattr(row, "config", row)
    person = owner.follower if hasattr(owner, "follower") else owner.leader
    page = read(admin_client, model, q=getattr(person, query, "nobody at all"))
    assert (address(model, "change", row.pk) in page) is bool(found)


def test_copies_are_filtered_by_their_follower(admin_client: Client) -> None:
    mine, other = CopyTradeFactory(), CopyTradeFactory()
    page = read(admin_client, type(mine), follower__id__exact=str(mine.follower_id))
    assert address(type(mine), "change", mine.pk) in page
    assert address(type(mine), "change", other.pk) not in page


def test_market_is_found_by_its_token(admin_client: Client) -> None:
    market = MarketFactory()
    MarketFactory()
    assert "1 market" in read(admin_client, Market, q=str(market.second_token_id))


def test_list_of_copies_asks_as_often_for_many_rows_as_for_few(admin_client: Client) -> None:
    def queries(make: Callable[[], object]) -> int:
        make()
        read(admin_client, CopyTradeFactory._meta.model)
        with CaptureQueriesContext(connection) as asked:
            read(admin_client, CopyTradeFactory._meta.model)
        return len(asked)

    few = queries(CopyTradeFactory)
    assert queries(lambda: CopyTradeFactory.create_batch(15)) == few


@pytest.mark.parametrize("model", OURS, ids=name_of)
def test_list_fetches_no_row_for_each_row(world: None, admin_client: Client, model: type[Model]) -> None:
    related = {field.name for field in model._meta.fields if field.is_relation}
    listed = admin.site.get_model_admin(model)
    shown = related & {name for name in listed.list_display if isinstance(name, str)}
    assert shown <= set(listed.list_select_related or ())


@pytest.mark.parametrize("model", [CopyConfig, Switch, CopyTradeArchive], ids=name_of)
def test_staff_without_rights_see_nothing(world: None, client: Client, olga: User, model: type[Model]) -> None:
    client.force_login(olga)
    assert client.get(address(model, "changelist")).status_code == 403
