"""Moments come back from the database as they went in: aware, in UTC, to the microsecond."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.db import DataError, connection

from ledger.timestamps import UtcLoader
from tests.factories import SignalFactory

MOMENTS = (
    datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
    datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 120_000, tzinfo=UTC),
    datetime(2026, 7, 1, 1, 30, 0, 7, tzinfo=timezone(timedelta(hours=5, minutes=30))),
)


@pytest.mark.django_db
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_moment_comes_back_as_it_went_in(moment: datetime) -> None:
    signal = SignalFactory(traded_at=moment)
    signal.refresh_from_db()
    assert (signal.traded_at, signal.traded_at.tzinfo) == (moment, UTC)


@pytest.mark.django_db
@pytest.mark.postgres
def test_the_quick_way_is_used_and_the_connection_is_in_utc() -> None:
    with connection.cursor() as cursor:
        assert cursor.cursor.adapters.get_loader(1184, 0) is UtcLoader
        cursor.execute("SHOW TIME ZONE")
        assert cursor.fetchone() == ("UTC",)


@pytest.mark.django_db
@pytest.mark.postgres
@pytest.mark.parametrize("moment", ["infinity", "-infinity", "10000-01-01 00:00:00+00", "0001-01-01 00:00:00+00 BC"])
def test_a_moment_that_python_cannot_hold_is_an_error(moment: str) -> None:
    with connection.cursor() as cursor, pytest.raises(DataError):
        cursor.execute("SELECT %s::timestamptz", [moment])
        cursor.fetchone()
