"""Operators edit leaders, followers and configs; a changed config is a new version."""

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client

from copytrading.models import CopyConfig, CopyConfigVersion, Follower, Leader
from copytrading.operations.people import ConfigChanged, save_config
from execution.models import Market
from ledger.units import ONE
from tests.admin.pages import NO_LIMITS, address, read
from tests.factories import LeaderFactory, MarketFactory, wallet

pytestmark = [
    pytest.mark.django_db,
    # whitenoise, before the first `collectstatic`
    pytest.mark.filterwarnings("ignore:No directory at:UserWarning"),
]


def config_form(config: CopyConfig, **changed: Any) -> dict[str, Any]:
    sane = {
        "active": "on",
        "sizing": config.sizing,
        "percentage_bps": config.percentage_bps,
        "amount_micros": "",
        "floor_micros": "",
        "cap_micros": "",
        "max_trade_micros": "100",
        "below_minimum": config.below_minimum,
        "slippage_bps_max": config.slippage_bps_max,
        "slippage": config.slippage,
        "fee_bps_max": config.fee_bps_max,
        "order_type": config.order_type,
        "sides": config.sides,
        "min_trigger_micros": "",
        "max_odds_micros": "",
        "direction": config.direction,
        "sell_sizing": config.sell_sizing,
        "sell_percentage_bps": config.sell_percentage_bps,
        "on_stop": config.on_stop,
        "seen_version": config.version,
    }
    return sane | changed


def test_config_is_added_with_its_first_version(admin_client: Client, fay: Follower, lena: Leader) -> None:
    form = config_form(CopyConfig(), follower=fay.pk, leader=lena.pk, max_trade_micros="$1,250.50")
    assert admin_client.post(address(CopyConfig, "add"), form).status_code == 302
    config = CopyConfig.objects.get()
    assert (config.version, config.max_trade_micros) == (1, 1_250_500_000)
    history = CopyConfigVersion.objects.get()
    assert (history.version, history.max_trade_micros, history.changed_by) == (1, 1_250_500_000, "admin")


def test_changed_config_raises_its_version_and_keeps_what_it_was(admin_client: Client, fay_config: CopyConfig) -> None:
    form = config_form(fay_config, max_trade_micros="250", max_odds_micros="0.85")
    assert admin_client.post(address(CopyConfig, "change", fay_config.pk), form).status_code == 302
    fay_config.refresh_from_db()
    assert (fay_config.version, fay_config.max_trade_micros, fay_config.max_odds_micros) == (2, 250 * ONE, 850_000)
    rows = CopyConfigVersion.objects.order_by("version")
    assert [(row.version, row.max_trade_micros) for row in rows] == [(1, 100 * ONE), (2, 250 * ONE)]
    assert [row.changed_by for row in rows] == ["", "admin"]


def test_form_saved_without_a_change_makes_no_version(admin_client: Client, fay_config: CopyConfig) -> None:
    assert admin_client.post(address(CopyConfig, "change", fay_config.pk), config_form(fay_config)).status_code == 302
    fay_config.refresh_from_db()
    assert fay_config.version == 1
    assert not CopyConfigVersion.objects.exists()


@pytest.mark.parametrize("seen", ["1", ""])
def test_change_of_an_outdated_page_is_refused_with_a_sentence(
    admin_client: Client, fay_config: CopyConfig, seen: str
) -> None:
    form = config_form(fay_config, max_trade_micros="999", seen_version=seen)
    fay_config.max_trade_micros = 50 * ONE
    save_config(fay_config, changed_by="olga")
    response = admin_client.post(address(CopyConfig, "change", fay_config.pk), form, follow=True)
    assert f"Config {fay_config.pk} was changed by somebody else meanwhile" in response.content.decode()
    fay_config.refresh_from_db()
    assert (fay_config.version, fay_config.max_trade_micros) == (2, 50 * ONE)


def test_config_keeps_its_follower_and_leader(admin_client: Client, fay_config: CopyConfig, fred: Follower) -> None:
    form = config_form(fay_config, follower=fred.pk, max_trade_micros="7")
    admin_client.post(address(CopyConfig, "change", fay_config.pk), form)
    fay_config.refresh_from_db()
    assert (fay_config.follower.name, fay_config.max_trade_micros) == ("Fay", 7 * ONE)


@pytest.mark.parametrize(
    ("field", "text", "sentence"),
    [
        ("max_trade_micros", "-5", "An amount cannot be negative."),
        ("max_trade_micros", "$-5", "An amount cannot be negative."),
        ("max_trade_micros", "\N{MINUS SIGN}5", "An amount cannot be negative."),
        ("max_trade_micros", "0", "Enter at least $0.000001."),
        ("max_trade_micros", "1e9", "Enter dollars as 1234.56, with at most six decimals."),
        ("max_trade_micros", "1_000", "Enter dollars as 1234.56, with at most six decimals."),
        ("max_trade_micros", "1,00", "Enter dollars as 1234.56, with at most six decimals."),
        ("max_trade_micros", "0.0000001", "Enter dollars as 1234.56, with at most six decimals."),
        ("max_trade_micros", "NaN", "Enter dollars as 1234.56, with at most six decimals."),
        ("max_trade_micros", "\N{ARABIC-INDIC DIGIT ONE}0", "Use the digits 0 to 9."),
        ("max_trade_micros", "\N{FULLWIDTH DIGIT ONE}0", "Use the digits 0 to 9."),
        ("max_trade_micros", "9" * 30, "Enter at most $1,000,000,000,000.00."),
        ("max_trade_micros", "1000000000000.000001", "Enter at most $1,000,000,000,000.00."),
        ("max_odds_micros", "1", "Enter at most $0.999999."),
        ("max_odds_micros", "0", "Enter at least $0.000001."),
        ("percentage_bps", "1000001", "less than or equal to 1000000"),
        ("slippage_bps_max", "10000", "less than or equal to 9999"),
        ("sizing", "FIXED_AMOUNT", "A fixed amount above zero is needed for Fixed Amount."),
        ("sizing", "RANGE", "A cap above zero is needed for Range."),
    ],
)
def test_bad_number_in_a_config_is_told_in_a_sentence(
    admin_client: Client, fay_config: CopyConfig, field: str, text: str, sentence: str
) -> None:
    response = admin_client.post(address(CopyConfig, "change", fay_config.pk), config_form(fay_config, **{field: text}))
    assert response.status_code == 200
    assert sentence in response.content.decode()
    fay_config.refresh_from_db()
    assert fay_config.version == 1


@pytest.mark.parametrize(
    ("field", "text", "sentence"),
    [
        ("sizing", "SHARES", "A number of shares above zero is needed for Shares."),
        ("sizing", "TIERED", "At least one tier is needed for Tiered."),
        ("sell_sizing", "FIXED_AMOUNT", "An amount above zero is needed for sells of Fixed Amount."),
        ("sell_percentage_bps", "0", "Sell at least 1 basis point of the holding."),
        ("sell_percentage_bps", "10001", "less than or equal to 10000"),
        ("stop_loss_micros", "0", "Enter at least $0.000001."),
        ("percentage_bps", "0", "Nothing would be copied: choose more than 0."),
        ("tiers", "100: 5", "The first tier must begin at 0, so that every trade has one."),
        ("tiers", "0: 5\n0: 6", "Tier 2 must begin above tier 1."),
        ("tiers", "0: 5\nrain", "Line 2: write dollars, a colon and percent"),
        ("tiers", "0: -5", "Line 1: An amount cannot be negative."),
        ("tiers", "0: 5.001", "Line 1: a percentage has at most two decimals."),
        ("tiers", "0: 10001", "A tier may copy at most 10,000 percent."),
        ("keywords", "x" * 81, "to 80 characters."),
        ("categories", "\n".join(map(str, range(51))), "Enter at most 50 lines."),
    ],
)
def test_bad_choice_in_a_config_is_told_in_a_sentence(
    admin_client: Client, fay_config: CopyConfig, field: str, text: str, sentence: str
) -> None:
    response = admin_client.post(address(CopyConfig, "change", fay_config.pk), config_form(fay_config, **{field: text}))
    assert response.status_code == 200
    assert sentence in response.content.decode()
    fay_config.refresh_from_db()
    assert fay_config.version == 1


def test_lists_and_stops_of_a_config_are_typed_as_people_write_them(
    admin_client: Client, fay_config: CopyConfig
) -> None:
    typed = {
        "sizing": "TIERED",
        "tiers": "0: 10\n\n $1,000: 2.5 %",
        "keywords": "rain\n snow \nrain",
        "stop_loss_micros": "$50",
        "shares_micros": "12.5",
        "on_stop": "EXIT",
        "direction": "COUNTER",
    }
    url = address(CopyConfig, "change", fay_config.pk)
    assert admin_client.post(url, config_form(fay_config, **typed)).status_code == 302
    fay_config.refresh_from_db()
    assert fay_config.tiers == [[0, 1_000], [1_000 * ONE, 250]]
    assert (fay_config.keywords, fay_config.categories) == (["rain", "snow"], [])
    assert (fay_config.stop_loss_micros, fay_config.shares_micros) == (50 * ONE, 12_500_000)
    page = read(admin_client, CopyConfig, "change", fay_config.pk)
    assert "0: 10\n1000: 2.5</textarea>" in page
    assert "rain\nsnow</textarea>" in page
    again = config_form(fay_config, **typed, seen_version=2)
    assert admin_client.post(url, again).status_code == 302
    fay_config.refresh_from_db()
    assert fay_config.version == 2


def test_page_of_a_config_tells_it_in_words_and_in_groups(admin_client: Client, fay_config: CopyConfig) -> None:
    page = read(admin_client, CopyConfig, "change", fay_config.pk)
    assert "Copies 10 % of Lena&#x27;s shares, at most $100.00 a trade;" in page
    for title in ("How much is bought", "How much is sold", "Which trades", "Which markets", "When to stop"):
        assert title in page


def test_floor_above_the_cap_is_told_in_a_sentence(admin_client: Client, fay_config: CopyConfig) -> None:
    form = config_form(fay_config, sizing="RANGE", floor_micros="31", cap_micros="30")
    assert (
        "The floor is above the cap."
        in admin_client.post(address(CopyConfig, "change", fay_config.pk), form).content.decode()
    )


def test_page_of_a_config_shows_its_amounts_in_dollars(admin_client: Client, fay_config: CopyConfig) -> None:
    page = read(admin_client, CopyConfig, "change", fay_config.pk)
    assert 'name="max_trade_micros" value="100"' in page


def test_second_config_of_the_same_pair_is_told_in_a_sentence(admin_client: Client, fay_config: CopyConfig) -> None:
    form = config_form(fay_config, follower=fay_config.follower_id, leader=fay_config.leader_id)
    response = admin_client.post(address(CopyConfig, "add"), form)
    assert "already exists" in response.content.decode()


def test_save_of_an_outdated_config_changes_nothing(fay_config: CopyConfig) -> None:
    outdated = CopyConfig.objects.get()
    fay_config.percentage_bps = 2_000
    assert save_config(fay_config, changed_by="olga") is True
    outdated.percentage_bps = 3_000
    with pytest.raises(ConfigChanged, match="changed by somebody else"):
        save_config(outdated, changed_by="fay")
    assert CopyConfig.objects.get().percentage_bps == 2_000
    assert CopyConfigVersion.objects.count() == 2


def test_every_further_save_adds_one_version(fay_config: CopyConfig) -> None:
    for number in range(1, 4):
        fay_config.percentage_bps = 1_000 + number
        save_config(fay_config, changed_by=f"user {number}")
    versions = CopyConfigVersion.objects.order_by("version").values_list("version", "percentage_bps", "changed_by")
    assert list(versions) == [(1, 1_000, ""), (2, 1_001, "user 1"), (3, 1_002, "user 2"), (4, 1_003, "user 3")]


def test_leader_is_added_with_a_wallet_as_pasted(admin_client: Client) -> None:
    form = {"name": "Lena", "wallet": " 0x" + "aB" * 20, **NO_LIMITS, "daily_limit_micros": "1,000"}
    assert admin_client.post(address(Leader, "add"), form).status_code == 302
    leader = Leader.objects.get()
    assert (leader.wallet, leader.daily_limit_micros, leader.hourly_limit_micros) == (
        "0x" + "ab" * 20,
        1_000 * ONE,
        None,
    )


@pytest.mark.parametrize("text", ["0x12", "fay", "0x" + "g" * 40, "0x" + "\N{ARABIC-INDIC DIGIT ONE}" * 40])
def test_follower_with_a_wallet_that_is_none_is_refused(admin_client: Client, text: str) -> None:
    response = admin_client.post(address(Follower, "add"), {"wallet": text, "mode": "PAPER", **NO_LIMITS})
    assert "40 lower-case hexadecimal digits" in response.content.decode()
    assert not Follower.objects.exists()


def test_change_of_a_leader_leaves_alone_what_the_engine_wrote_meanwhile(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = LeaderFactory(holdings_complete=True)
    listed = admin.site.get_model_admin(Leader)
    save = type(listed).save_model

    def engine_first(self: Any, request: Any, obj: Leader, form: Any, change: bool) -> None:
        Leader.objects.update(holdings_complete=False)
        save(self, request, obj, form, change)

    monkeypatch.setattr(type(listed), "save_model", engine_first)
    admin_client.post(address(Leader, "change", leader.pk), {"name": "Lena", **NO_LIMITS, "hourly_limit_micros": "5"})
    leader.refresh_from_db()
    assert (leader.name, leader.hourly_limit_micros, leader.holdings_complete) == ("Lena", 5 * ONE, False)


def test_wallet_of_a_follower_never_changes(admin_client: Client, fay: Follower) -> None:
    form = {"name": "Fay", "mode": "PAPER", "wallet": wallet("Fred"), **NO_LIMITS}
    assert admin_client.post(address(Follower, "change", fay.pk), form).status_code == 302
    fay.refresh_from_db()
    assert fay.wallet == wallet("Fay")


def test_limit_of_a_market_is_set_in_dollars_and_nothing_else_changes(admin_client: Client) -> None:
    market = MarketFactory()
    form = {**NO_LIMITS, "daily_limit_micros": "0.5", "tick_micros": "100", "closed": "on"}
    assert admin_client.post(address(Market, "change", market.pk), form).status_code == 302
    market.refresh_from_db()
    assert (market.daily_limit_micros, market.tick_micros, market.closed) == (ONE // 2, 10_000, False)
