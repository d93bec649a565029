"""`manage.py follow`: what it makes, that it makes it once, and that it takes back what nobody has used."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models import Sum
from pytest_django.fixtures import Settings

from copytrading.models import CopyConfig, CopyConfigVersion, CopyTrade, Follower, Leader
from copytrading.operations.following import NAME
from copytrading.operations.leases import acquire
from copytrading.operations.people import save_config
from guardrails.models import Switch
from ledger.models import CashBalance, LedgerEntry
from ledger.units import ONE, micros_from_text
from tests.factories import CopyTradeFactory
from tests.world import LENA, World

pytestmark = pytest.mark.django_db

OTHER = "0x" + "Ab" * 20


def follow(*words: str) -> dict[str, int]:
    output = io.StringIO()
    call_command("follow", *words, "--json", stdout=output)
    told: dict[str, int] = json.loads(output.getvalue())
    return told


def rows() -> dict[str, list[dict[str, Any]]]:
    return {model._meta.label: list(model._default_manager.order_by("pk").values()) for model in apps.get_models()}


def test_it_makes_leaders_followers_cash_and_configs() -> None:
    told = follow(LENA, OTHER, "--followers", "3", "--cash", "250.50", "--percentage", "2.5")
    assert told == {"leaders": 2, "followers": 3, "configs": 6, "activated": 0}
    assert set(Leader.objects.values_list("wallet", flat=True)) == {LENA, OTHER.lower()}
    assert set(CopyConfig.objects.values_list("sizing", "percentage_bps", "active")) == {("PERCENTAGE", 250, True)}
    assert set(CashBalance.objects.values_list("cash_micros", flat=True)) == {250_500_000}
    assert CopyConfigVersion.objects.count() == 6


def test_a_copy_is_made_of_what_it_made(world: World) -> None:
    follow(LENA, "--followers", "2")
    copies = world.copy(world.row("1000", "0.50"))
    assert [(row.status, row.size_micros) for row in copies] == [("EXECUTED", 100 * ONE)] * 2


@pytest.mark.parametrize(
    ("words", "shares"),
    [
        ("--sizing FIXED_AMOUNT --amount 5", "10"),
        ("--sizing RANGE --percentage 1 --floor 4 --cap 40", "10"),
        ("--sizing SHARES --shares 12.5", "12.5"),
        ("--sizing BANKROLL --percentage 1 --cash 1000", "20"),
        ("--percentage 10 --max-trade 30", "60"),
    ],
)
def test_every_sizing_that_it_offers_makes_copies(world: World, words: str, shares: str) -> None:
    follow(LENA, *words.split())
    CopyConfig.objects.update(slippage_bps_max=0)  # the limit is the leader's price
    (copy,) = world.copy(world.row("1000", "0.50"))
    assert (copy.status, copy.size_micros) == ("EXECUTED", micros_from_text(shares))


def test_running_it_twice_adds_nothing_twice() -> None:
    follow(LENA, "--followers", "2")
    before = rows()
    assert follow(LENA, LENA.upper().replace("0X", "0x"), "--followers", "2") == dict.fromkeys(
        ("leaders", "followers", "configs", "activated"), 0
    )
    assert rows() == before


def test_more_followers_are_added_to_those_that_exist() -> None:
    follow(LENA, "--followers", "2")
    assert follow(LENA, "--followers", "5") == {"leaders": 0, "followers": 3, "configs": 3, "activated": 0}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            [LENA, "fay", "0x12"],
            "No wallet: 'fay', '0x12'. A wallet is 0x and 40 hexadecimal digits. Nothing was changed.",
        ),
        ([], "Name at least one wallet to follow, or --clean."),
        ([LENA, "--followers", "0"], "--followers must lie between 1 and 100000."),
        ([LENA, "--followers", "100001"], "--followers must lie between 1 and 100000."),
        ([LENA, "--sizing", "FIXED_AMOUNT"], "--sizing FIXED_AMOUNT needs --amount."),
        ([LENA, "--sizing", "RANGE", "--floor", "2"], "--sizing RANGE needs --cap."),
        ([LENA, "--sizing", "SHARES"], "--sizing SHARES needs --shares."),
        ([LENA, "--shares", "0"], "'0' is not a number of shares above zero"),
        ([LENA, "--sizing", "RANGE", "--floor", "3", "--cap", "2"], "These terms do not fit together: "),
        ([LENA, "--percentage", "0"], "'0' is not a percentage above 0"),
        ([LENA, "--percentage", "nan"], "'nan' is not a percentage above 0"),
        ([LENA, "--percentage", "0.001"], "'0.001' is not a percentage above 0"),
        ([LENA, "--cash", "-5"], "'-5' is not an amount of dollars above zero"),
        ([LENA, "--cash", "1e30"], "'1e30' is not an amount of dollars above zero"),
        ([LENA, "--cash", "0.0000001"], "'0.0000001' is not an amount of dollars above zero"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_nothing_is_written(words: list[str], sentence: str) -> None:
    before = rows()
    with pytest.raises(CommandError) as caught:
        follow(*words)
    assert sentence in str(caught.value)
    assert rows() == before


def test_it_tells_people_what_it_did() -> None:
    output = io.StringIO()
    call_command("follow", LENA, "--followers", "2", stdout=output)
    call_command("follow", "--clean", stdout=output)
    assert output.getvalue().splitlines() == [
        "1 leader, 2 paper followers and 2 configs added.",
        "2 configs, 2 paper followers and 1 leader removed.",
    ]


def test_it_says_that_old_configs_keep_their_terms() -> None:
    follow(LENA, "--followers", "2")
    output = io.StringIO()
    call_command("follow", LENA, "--followers", "3", "--percentage", "50", stdout=output)
    assert output.getvalue().strip() == (
        "0 leaders, 1 paper follower and 1 config added. "
        "2 configs existed already, with terms that stay as they were; the admin changes them."
    )
    assert sorted(CopyConfig.objects.values_list("percentage_bps", flat=True)) == [1_000, 1_000, 5_000]


def test_clean_removes_all_that_was_made_and_the_books_balance() -> None:
    follow(LENA, OTHER, "--followers", "3")
    assert follow("--clean") == {
        "configs": 6,
        "followers": 3,
        "leaders": 2,
        "deactivated": 0,
        "followers_kept": 0,
    }
    for model in (Leader, Follower, CopyConfig, CopyConfigVersion, CashBalance):
        assert not model._default_manager.exists()
    paid_back, paid_in = (
        LedgerEntry.objects.filter(**{f"{side}_account": "outside:cash"}).aggregate(Sum("amount_micros"))
        for side in ("debit", "credit")
    )
    assert paid_back == paid_in != {"amount_micros__sum": None}


def test_clean_of_one_wallet_leaves_the_others() -> None:
    follow(LENA, OTHER, "--followers", "2")
    assert follow(OTHER, "--clean") == {
        "configs": 2,
        "followers": 0,
        "leaders": 1,
        "deactivated": 0,
        "followers_kept": 2,
    }
    assert set(CopyConfig.objects.values_list("leader__wallet", flat=True)) == {LENA}


def test_clean_leaves_what_others_made(world: World) -> None:
    world.follower("Fay")
    follow(LENA, "--followers", "1")
    taken_over = Follower.objects.get(name__startswith=NAME)
    taken_over.name = "Fred"
    taken_over.save()
    before = rows()
    assert set(follow("--clean").values()) == {0}
    assert rows() == before


def test_clean_only_deactivates_where_copies_were_made(world: World) -> None:
    follow(LENA, "--followers", "2")
    world.copy(world.row())
    follow(OTHER, "--followers", "2")
    copies, entries = CopyTrade.objects.count(), LedgerEntry.objects.count()
    assert follow("--clean") == {
        "configs": 2,
        "followers": 0,
        "leaders": 1,
        "deactivated": 2,
        "followers_kept": 2,
    }
    assert (CopyTrade.objects.count(), LedgerEntry.objects.count()) == (copies, entries) and copies == 2
    assert set(CopyConfig.objects.values_list("leader__wallet", "active")) == {(LENA, False)}
    assert set(follow("--clean").values()) == {0, 2}


def test_following_again_wakes_what_clean_put_to_sleep_and_not_what_an_operator_did(world: World) -> None:
    follow(LENA, "--followers", "2")
    world.copy(world.row())
    first, second = CopyConfig.objects.order_by("pk")
    first.active = False
    save_config(first, changed_by="olga")
    follow("--clean")
    assert follow(LENA, "--followers", "2")["activated"] == 1
    assert [CopyConfig.objects.get(pk=row.pk).active for row in (first, second)] == [False, True]


@pytest.mark.parametrize(
    "use",
    [
        lambda row: CopyTradeFactory(config=row, follower=row.follower, leader=row.leader),
        lambda row: Switch.objects.create(kind="PAUSE", scope="FOLLOWER", key=str(row.follower_id), on=True),
        lambda row: Follower.objects.create(wallet="0x" + "77" * 20, referrer=row.follower),
    ],
    ids=["a copy", "a switch", "a referral"],
)
def test_follower_that_something_names_stays(use: Callable[[CopyConfig], object]) -> None:
    follow(LENA, "--followers", "1")
    use(CopyConfig.objects.get())
    assert follow("--clean")["followers_kept"] == 1
    assert Follower.objects.filter(name__startswith=NAME).count() == 1


def test_clean_waits_until_engines_have_forgotten_the_configs(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    waited = []

    class Watching:
        async def sleep(self, seconds: float) -> None:
            waited.append(seconds)

    monkeypatch.setattr("copytrading.management.commands.follow.SystemClock", Watching)
    settings.COPY_TRADING_CONFIG_REFRESH_MS = 1_000
    follow(LENA, "--followers", "1")
    follow("--clean")
    assert waited == []
    follow(LENA, "--followers", "1")
    acquire(shard=0, of=1, holder="engine", ttl_s=60)
    follow("--clean")
    assert waited == [1.5]
    assert not CopyConfig.objects.exists()
