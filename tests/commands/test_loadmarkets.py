"""`manage.py loadmarkets`: which rows come of the venue's descriptions, and what happens to what is none."""

import gzip
import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from copytrading.explain.stories import reason_text
from copytrading.management.commands import loadmarkets
from execution.fees import NO_FEE
from execution.gamma import describe_market
from execution.models import Market
from execution.operations import Loaded, change_tick, learn_markets, load_markets
from execution.preflight import ORDER_FACTS, MarketTerms
from execution.queries import fee_of_token, markets
from ledger.units import ONE
from tests.doors import BEGINNING
from tests.factories import MarketFactory, digest
from tests.world import CONDITION as WORLDS_CONDITION
from tests.world import World

pytestmark = pytest.mark.django_db

CONDITION = digest("a market")


def gamma(condition: str = CONDITION, **fields: Any) -> dict[str, Any]:
    return {"conditionId": condition, "question": "Will it rain?", **fields}


def load(*paths: Path) -> dict[str, Any]:
    answer = StringIO()
    call_command("loadmarkets", *paths, json=True, stdout=answer)
    told: dict[str, Any] = json.loads(answer.getvalue())
    return told


def write(folder: Path, document: object, name: str = "markets.json") -> Path:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def counts(told: dict[str, Any]) -> tuple[int, int, int, int]:
    return told["new"], told["changed"], told["same"], told["bad"]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("agents_twenty_markets.json", 20),
        ("btc_5m_markets_20260608.jsonl.gz", 292),
        ("gamma_market_2026.json", 2),
        ("gamma_market_202604.json", 1),
    ],
)
def test_every_recorded_file_is_loaded_whole(shared_data: Path, name: str, number: int) -> None:
    assert counts(load(shared_data / "gamma" / name)) == (number, 0, 0, 0)
    assert Market.objects.filter(loaded_at__isnull=False, liquidity_micros__isnull=False).count() == number


def test_all_recorded_files_a_second_time_change_nothing(shared_data: Path) -> None:
    files = sorted((shared_data / "gamma").iterdir())
    load(*files)
    before = list(Market.objects.order_by("condition_id").values_list("condition_id", "volume_micros", "tick_micros"))

    assert counts(load(*files)) == (0, 0, 315, 0)
    after = Market.objects.order_by("condition_id").values_list("condition_id", "volume_micros", "tick_micros")
    assert list(after) == before


def test_a_recorded_market_of_2026_becomes_this_row(shared_data: Path) -> None:
    load(shared_data / "gamma" / "gamma_market_2026.json")

    row = Market.objects.get(slug="will-bitcoin-hit-150k-by-june-30-2026")
    assert (row.tick_micros, row.fee_rate_bps, row.fee_exponent, row.version) == (1_000, 720, 1, "")
    assert (row.first_price_micros, row.second_price_micros) == (13_500, 986_500)
    assert row.ends_at == datetime(2026, 7, 1, 4, tzinfo=UTC)
    assert (row.first_outcome, row.second_outcome, row.closed, row.accepting_orders) == ("Yes", "No", False, True)
    assert len(str(row.first_token_id)) == 77


SAID = {"version": "v1", "negRisk": False, "orderPriceMinTickSize": "0.01", "feesEnabled": False}
"""What an order with real money needs, and looks like the usual terms."""


def unsaid() -> tuple[str, ...]:
    return markets([CONDITION])[CONDITION].terms.unsaid


def test_of_a_market_met_in_a_trade_the_usual_terms_are_assumed_and_nothing_is_said() -> None:
    learn_markets([Row()])

    terms = markets([CONDITION])[CONDITION].terms
    assert terms == MarketTerms()
    assert terms.unsaid == ("version", "neg risk", "tick size", "fee")


@pytest.mark.parametrize(("number", "fact"), list(enumerate(ORDER_FACTS)))
def test_what_a_description_leaves_out_is_not_said(number: int, fact: str) -> None:
    lacking = list(SAID)[number]
    load_markets([describe_market(gamma(**{**SAID, lacking: None}))], BEGINNING)

    assert unsaid() == (fact,)


def test_what_was_said_stays_when_a_later_description_leaves_it_out() -> None:
    load_markets([describe_market(gamma(**SAID))], BEGINNING)
    load_markets([describe_market(gamma())], BEGINNING)

    assert unsaid() == ()


def test_another_version_takes_the_place_of_the_one_that_was_said() -> None:
    load_markets([describe_market(gamma(**SAID))], BEGINNING)
    load_markets([describe_market(gamma(version="protocol-3"))], BEGINNING)

    assert markets([CONDITION])[CONDITION].terms.version == "?"


def test_a_fee_that_is_withheld_takes_back_the_one_that_was_said() -> None:
    load_markets([describe_market(gamma(**SAID, clobTokenIds='["7", "8"]'))], BEGINNING)
    assert fee_of_token(7) == NO_FEE
    load_markets([describe_market(gamma(feesEnabled=True))], BEGINNING)

    assert (unsaid(), fee_of_token(7)) == (("fee",), None)


def test_a_tick_that_the_market_channel_told_is_said() -> None:
    learn_markets([Row()])
    change_tick(CONDITION, 10_000)

    assert unsaid() == ("version", "neg risk", "fee")


def test_the_same_facts_are_read_back_for_the_decisions() -> None:
    fields = {"clobTokenIds": '["7", "8"]', "outcomePrices": '["0.3", "0.7"]', "liquidity": "12.5", "category": "Rain"}
    load_markets([describe_market(gamma(**fields))], BEGINNING)

    facts = markets([CONDITION])[CONDITION]
    assert (facts.about.liquidity_micros, facts.about.volume_micros) == (12_500_000, None)
    assert (facts.about.category, facts.about.title) == ("Rain", "Will it rain?")
    assert [facts.complement_of(token) for token in (7, 8, 9)] == [8, 7, None]
    assert [facts.price_of(token) for token in (7, 8, 9)] == [300_000, 700_000, None]


def test_no_token_is_the_complement_of_one_while_the_other_is_unknown() -> None:
    MarketFactory(condition_id=CONDITION, first_token_id=7, second_token_id=None)

    facts = markets([CONDITION])[CONDITION]
    assert (facts.complement_of(7), facts.price_of(7)) == (None, None)


def test_a_new_description_changes_what_it_says_and_blanks_nothing() -> None:
    full = gamma(liquidity="5", category="Rain", endDate="2027-01-01T00:00:00Z", clobTokenIds='["7", "8"]')
    load_markets([describe_market(full)], BEGINNING)
    told = load_markets([describe_market(gamma(liquidity="6", question=None, closed=True))], BEGINNING)

    row = Market.objects.get()
    assert told == Loaded(changed=1)
    assert (row.liquidity_micros, row.closed, row.title) == (6 * ONE, True, "Will it rain?")
    assert (row.category, row.first_token_id, row.ends_at) == ("Rain", 7, datetime(2027, 1, 1, tzinfo=UTC))


def test_the_operators_limits_stay() -> None:
    MarketFactory(condition_id=CONDITION, daily_limit_micros=50 * ONE, hourly_limit_count=3)
    load_markets([describe_market(gamma(volume="5"))], BEGINNING)

    row = Market.objects.get()
    assert (row.daily_limit_micros, row.hourly_limit_count, row.volume_micros) == (50 * ONE, 3, 5 * ONE)
    assert row.loaded_at == BEGINNING


def test_one_market_twice_in_a_load_is_one_row_and_the_last_word_wins() -> None:
    twice = [describe_market(gamma(volume="1", liquidity="2")), describe_market(gamma(volume="3"))]

    assert load_markets(twice, BEGINNING) == Loaded(new=1)
    assert list(Market.objects.values_list("volume_micros", "liquidity_micros")) == [(3 * ONE, 2 * ONE)]


def test_conditions_are_the_same_in_capital_letters() -> None:
    MarketFactory(condition_id=CONDITION)

    assert load_markets([describe_market(gamma("0x" + CONDITION[2:].upper()))], BEGINNING).new == 0


class Row:
    condition_id, token_id, outcome_index, outcome, title, slug = CONDITION, 9, 1, "No", "As traded", "as-traded"


def test_a_trade_fills_in_the_token_that_the_description_left_out() -> None:
    load_markets([describe_market(gamma())], BEGINNING)
    learn_markets([Row()])

    row = Market.objects.get()
    assert (row.title, row.second_token_id, row.second_outcome) == ("Will it rain?", 9, "No")


def test_a_description_completes_a_market_that_a_trade_made_known() -> None:
    learn_markets([Row()])
    told = load_markets([describe_market(gamma(clobTokenIds='["7", "9"]', outcomes='["Yes", ""]'))], BEGINNING)

    row = Market.objects.get()
    assert told == Loaded(changed=1)
    assert (row.first_token_id, row.second_token_id, row.second_outcome) == (7, 9, "No")


def test_a_filter_refuses_until_its_fact_is_loaded(world: World) -> None:  # example 19
    world.follower(min_liquidity_micros=100 * ONE)
    (missing,) = world.copy(world.row(tx=1))
    load_markets([describe_market(gamma(WORLDS_CONDITION, liquidity="100"))], BEGINNING)
    world.clock.advance(2)  # markets are read anew
    loaded = world.copy(world.row(tx=2))[-1]

    assert (missing.status, [reason_text(told) for told in missing.reasons]) == (
        "SKIPPED",
        ["FACT_MISSING (liquidity)"],
    )
    assert list(missing.guardrail_events.values_list("reason", "subject")) == [("FACT_MISSING", "liquidity")]
    assert loaded.status == "EXECUTED"


OTHER = digest("another market")


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("a.json", [gamma(), gamma(OTHER)]),
        ("a.json", {"markets": [gamma(), gamma(OTHER)], "next_cursor": "x"}),
        ("a.json", {"data": [gamma(), gamma(OTHER)]}),
        ("a.json", {"events": [{"title": "Rain", "markets": [gamma(), gamma(OTHER)]}]}),
        ("a.json", [{"markets": [gamma()]}, {"markets": [gamma(OTHER)]}]),
        ("a.json", f"{json.dumps(gamma())}\n\n{json.dumps([gamma(OTHER)])}"),
        ("a.jsonl", f"{json.dumps({'raw': gamma()})}\n{json.dumps({'markets': [gamma(OTHER)]})}\n"),
        ("a.ndjson", f"[]\n{json.dumps([gamma(), gamma(OTHER)])}"),
    ],
)
def test_shapes_of_files(tmp_path: Path, name: str, document: object) -> None:
    assert counts(load(write(tmp_path, document, name))) == (2, 0, 0, 0)


def test_a_gzip_file_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "markets.json.gz"
    path.write_bytes(gzip.compress(json.dumps([gamma()]).encode()))

    assert counts(load(path)) == (1, 0, 0, 0)


def test_the_event_around_a_market_gives_its_category(tmp_path: Path) -> None:
    load(write(tmp_path, {"events": [{"tags": [{"label": "Weather"}], "markets": [gamma()]}]}))

    assert Market.objects.get().category == "Weather"


def test_bad_objects_are_named_and_the_good_ones_loaded(tmp_path: Path) -> None:
    told = load(write(tmp_path, [gamma(), 7, gamma(OTHER, volume="-1"), {"id": "5"}]))

    assert counts(told) == (1, 0, 0, 3)
    assert told["named"] == [
        {"place": "markets.json market 2", "why": "The market is 7 and no object."},
        {"place": "markets.json market 3", "why": "volume '-1' is below zero."},
        {"place": "markets.json market 4", "why": "conditionId (missing) is not 0x and 64 hexadecimal digits."},
    ]


def test_a_bad_line_is_one_bad_object(tmp_path: Path) -> None:
    told = load(write(tmp_path, f'{json.dumps(gamma())}\n{{"conditionId": "0x', "a.jsonl"))

    assert counts(told) == (1, 0, 0, 1)
    assert told["named"][0]["place"] == "a.jsonl line 2"
    assert told["named"][0]["why"].startswith("not JSON at line 1, column ")


def test_people_read_a_sentence_and_the_first_bad_ones(tmp_path: Path) -> None:
    answer, trouble = StringIO(), StringIO()
    call_command("loadmarkets", write(tmp_path, [gamma(), *[7] * 25]), stdout=answer, stderr=trouble)

    assert answer.getvalue() == "1 new, 0 changed, 0 as before; 25 unreadable.\n"
    assert trouble.getvalue().count("The market is 7 and no object.") == loadmarkets.NAMED_MAX
    assert "... and 5 more." in trouble.getvalue()


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ("", "markets.json: the file is empty"),
        ("hello", "markets.json: not JSON at line 1, column 1: Expecting value; is it truncated?"),
        ('[{"conditionId": "0x', "markets.json: not JSON at line 1"),
        (f"[{json.dumps(gamma())}", "Expecting ',' delimiter; is it truncated?"),
        (f"[{json.dumps(gamma())} 7]", "Expecting ',' delimiter"),
        ("[" * 100_000, "markets.json: its JSON is nested too deeply"),
        ('{"a":' * 100_000, "markets.json: its JSON is nested too deeply"),
    ],
)
def test_a_file_that_is_no_json_is_one_sentence_and_nothing_is_written(
    tmp_path: Path, document: str, sentence: str
) -> None:
    good = write(tmp_path, [gamma(OTHER)], "good.json")
    with pytest.raises(CommandError) as caught:
        load(good, write(tmp_path, document))

    assert sentence in str(caught.value)
    assert not Market.objects.exists()


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere\.json: no such file"):
        load(tmp_path / "nowhere.json")


def test_a_file_without_any_good_market_fails(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No market could be read"):
        load(write(tmp_path, {"hello": "world"}))


def test_brackets_inside_texts_are_no_depth(tmp_path: Path) -> None:
    odd = gamma(question="[(" * 100 + '\\"{', description="]" * 500 + "{" * 500)

    assert counts(load(write(tmp_path, [odd]))) == (1, 0, 0, 0)


def test_a_text_that_never_ends_is_refused_quickly(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not JSON"):
        load(write(tmp_path, '["' + '\\"' * 1_000_000))


def test_many_markets_are_loaded_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loadmarkets, "BATCH", 10)
    many = [gamma(digest(f"market {number}")) for number in range(25)]

    assert counts(load(write(tmp_path, many))) == (25, 0, 0, 0)
    assert Market.objects.count() == 25
