"""Bulk actions of people beside the engine, on two connections: one order of locks, and nobody waits for ever."""

import pytest
from django.db import connection, transaction

from copytrading.models import CopyConfig, Follower, Standing
from copytrading.operations.bulk import exit_now, set_active, start_stopped_again
from copytrading.operations.stops import Watched, write_measures
from copytrading.stops import Measured, StopTerms
from tests.database.races import race
from tests.doors import BEGINNING
from tests.factories import CopyConfigFactory, LeaderFactory, wallet

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

CONFIGS, ROUNDS = 300, 8


def configs() -> list[CopyConfig]:
    """Configs whose standings have the opposite order of keys."""
    leader = LeaderFactory()
    rows = [Follower(name=f"Fay {n}", wallet=wallet(f"race {n}")) for n in range(CONFIGS)]
    made = CopyConfig.objects.bulk_create(
        [CopyConfig(follower=follower, leader=leader) for follower in Follower.objects.bulk_create(rows)]
    )
    Standing.objects.bulk_create([Standing(config=config) for config in reversed(made)])
    return made


def watched(config: CopyConfig) -> Watched:
    return Watched(
        config_id=config.pk,
        exit=False,
        terms=StopTerms(),
        money_micros=0,
        shares=(),
        baseline_micros=0,
        peak_micros=0,
        profit_micros=0,
        stopped_at=None,
    )


def test_measuring_and_actions_on_the_same_standings_never_wait_for_each_other() -> None:
    made = configs()
    ids = list(Standing.objects.values_list("pk", flat=True))

    def measure() -> None:
        for profit in range(1, ROUNDS + 1):
            measured = Measured(profit_micros=profit, peak_micros=profit)
            write_measures([(watched(config), measured) for config in made], now=BEGINNING)

    def act() -> None:
        for _ in range(ROUNDS):
            exit_now(ids, who="olga", why="", now=BEGINNING)
            start_stopped_again(ids, who="olga", why="")

    race(measure, act)
    assert set(Standing.objects.values_list("profit_micros", flat=True)) == {ROUNDS}


def test_a_config_that_is_being_switched_off_may_be_named_by_new_rows() -> None:
    config = CopyConfigFactory()

    def switch_off_and_look() -> None:
        with transaction.atomic():
            set_active([config.pk], active=False, who="olga", why="")
            race(name_it)  # while our transaction is open

    def name_it() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")
            # What the check of a foreign key does for every new copy.
            cursor.execute("SELECT 1 FROM copytrading_copyconfig WHERE id = %s FOR KEY SHARE", [config.pk])

    switch_off_and_look()
