"""`manage.py deadletters`: what was put aside is listed, opened again once, or given up with a trail."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from copytrading.models import Signal
from copytrading.operations.attempts import begin_signals
from copytrading.operations.bulk import retry_signals
from ledger.models import AuditEntry
from tests.database.races import race
from tests.doors import BEGINNING
from tests.factories import CopyTradeFactory, SignalFactory
from tests.world import World

pytestmark = pytest.mark.django_db


def dead_letter(**more: Any) -> Signal:
    row: Signal = SignalFactory(**{"dropped_reason": "DEAD_LETTER", "attempts": 3, "done_at": BEGINNING, **more})
    return row


def run(*words: str) -> str:
    out = StringIO()
    call_command("deadletters", *words, stdout=out)
    return out.getvalue()


def told(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def states(*rows: Signal) -> list[tuple[str, bool, int]]:
    for row in rows:
        row.refresh_from_db()
    return [(row.dropped_reason, row.done_at is None, row.attempts) for row in rows]


def test_nothing_to_list_is_a_sentence() -> None:
    SignalFactory(dropped_reason="NO_SUBSCRIBERS", done_at=BEGINNING)
    assert run("list") == "There are no dead letters.\n"


def test_each_is_a_line_with_what_it_was_and_how_far_it_came() -> None:
    first, second = dead_letter(), dead_letter()
    CopyTradeFactory(signal=first)
    lines = run("list").splitlines()
    assert [line.split()[0] for line in lines] == [str(first.pk), str(second.pk), "2"]
    assert first.leader.wallet in lines[0] and lines[0].endswith("UTC, after 3 tries, 1 copies decided")
    assert run("list", "--limit", "1").splitlines()[1] == "2 dead letters; 1 shown."


def test_the_list_in_json_counts_all_and_shows_some() -> None:
    first, _second = dead_letter(), dead_letter()
    report = told("list", "--limit", "1")
    assert (report["dead_letters"], [row["signal_id"] for row in report["shown"]]) == (2, [first.pk])


def test_replayed_signal_is_open_again_and_audited() -> None:
    row, other = dead_letter(), dead_letter()
    said = run("replay", str(row.pk), "--who", "olga", "--why", "the book is back")
    assert said.startswith("1 signal opened again: engines offer each once")
    assert states(row, other) == [("", True, 0), ("DEAD_LETTER", False, 3)]
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.subject_id) == ("olga", "retry", str(row.pk))
    assert entry.why == "the book is back"


def test_replayed_signal_is_offered_and_copied_once(world: World) -> None:
    world.follower()
    world.show(world.row())
    (signal,) = world.signals()
    Signal.objects.update(dropped_reason="DEAD_LETTER", attempts=3, done_at=BEGINNING)
    world.settle()
    run("replay", "--all")
    world.clock.advance(6)
    assert [world.run(world.engine.sweeper.run_once) for _ in range(2)] == [1, 1]
    world.settle()
    world.settle()
    assert [trade.signal_id for trade in world.trades()] == [signal.pk]
    assert world.run(world.engine.sweeper.run_once) == 0


@pytest.mark.django_db(transaction=True)
def test_of_two_replays_at_once_one_opens_it() -> None:
    row = dead_letter()
    answers = race(*[lambda: retry_signals([row.pk], who="olga", why="").changed] * 2)
    assert sorted(answers) == [0, 1]
    assert AuditEntry.objects.count() == 1


def test_purged_signal_is_off_the_list_cannot_be_replayed_and_leaves_a_trail() -> None:
    row = dead_letter()
    assert run("purge", str(row.pk)) == "1 signal given up: the rows stay, and an audit entry for each.\n"
    assert states(row) == [("PURGED", False, 3)]
    assert run("list") == "There are no dead letters.\n"
    with pytest.raises(CommandError, match="1 of the signals named are no dead letters"):
        run("replay", str(row.pk))
    assert list(AuditEntry.objects.values_list("action", "actor")) == [("purge", "the command line")]


@pytest.mark.parametrize("verb", ["replay", "purge"])
def test_dry_run_changes_nothing_and_says_what_it_would(verb: str) -> None:
    row = dead_letter()
    assert " would be " in run(verb, "--all", "--dry-run")
    report = {"verb": verb, "dry_run": True, "found": 1, "changed": 0, "refused": []}
    assert told(verb, "--all", "--dry-run") == report
    assert states(row) == [("DEAD_LETTER", False, 3)]
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("words", [["replay"], ["purge"], ["purge", "1", "--all"]])
def test_neither_or_both_of_names_and_all_is_refused(words: list[str]) -> None:
    row = dead_letter()
    with pytest.raises(CommandError, match="Name signals, or give --all"):
        run(*words)
    assert states(row) == [("DEAD_LETTER", False, 3)]


def test_what_is_no_dead_letter_is_named_and_the_others_are_done() -> None:
    row, open_one = dead_letter(), SignalFactory(done_at=None)
    with pytest.raises(CommandError):
        run("replay", str(row.pk), str(open_one.pk), "999999")
    assert states(row) == [("", True, 0)]


def test_number_of_tries_is_the_setting() -> None:
    rows = [SignalFactory(done_at=None, attempts=tries) for tries in (1, 2)]
    begun = begin_signals([row.pk for row in rows], now=BEGINNING, attempts_max=2)
    assert begun.poisoned == (rows[1].pk,)


def test_sell_brings_the_leaders_refused_buy_of_the_market_along(world: World) -> None:
    world.follower()
    world.lena_holds(0)
    world.show(world.row(tx=1))
    world.show(world.row(tx=2, side="SELL"))
    _buy, sell = world.signals()
    world.run(world.engine.stores.clear)
    world.run(lambda: world.engine.stores.queue.add([str(sell.pk)]))
    world.settle()
    assert [(trade.side, trade.status) for trade in world.trades()] == [("BUY", "EXECUTED"), ("SELL", "EXECUTED")]


def test_a_later_part_brings_the_refused_one_before_it_along(world: World) -> None:
    world.follower()
    row = world.row("1000", "0.50")
    world.show(row)
    world.show(row)
    first, later = world.signals()
    world.run(world.engine.stores.clear)
    world.run(lambda: world.engine.stores.queue.add([str(later.pk)]))
    world.settle()
    # Decided the other way round, the first would be bought in full beside it: the bound of a trade is 100 dollars.
    assert [(trade.signal_id, trade.size_micros) for trade in world.trades()] == [
        (first.pk, 100_000_000),
        (later.pk, 96_070_000),
    ]
