"""Reads the copies that are measured: the newest of a window, bounded, by the index of whom they belong to."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.db.models import QuerySet

from copytrading.models import CopyTrade, Follower, Leader, Signal
from copytrading.quality.summaries import Made, Quality, quality_of
from ledger.moments import keys_between

COPIES_MAX = 10_000
"""Newest copies of a person, or of one config, that a page looks at."""

TABLE_COPIES_MAX = 5_000
"""Newest copies of everybody that the dashboard's table looks at: about a quarter of a second, once for all pages."""

PEOPLE_MAX = 20
"""Leaders, and followers, of the dashboard's table: those with the most copies among these."""

WINDOWS: Mapping[str, tuple[str, timedelta | None]] = {
    "24h": ("the last 24 hours", timedelta(hours=24)),
    "7d": ("the last 7 days", timedelta(days=7)),
    "30d": ("the last 30 days", timedelta(days=30)),
    "all": ("all time", None),
}
"""The windows of a page, by the name in its address."""

Who = Literal["follower", "leader"]

_COLUMNS = (
    "status",
    "reasons",
    "side",
    "leader_price_micros",
    "size_micros",
    "fill_size_micros",
    "fill_price_micros",
    "fill_cost_micros",
    "fee_micros",
    "signal__traded_at",
    "detected_at",
    "decided_at",
    "order_timestamp_ms",
    "prewritten_at",
    "submitted_at",
    "answered_at",
    "executed_at",
)
"""In the order of `Made`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The newest copies; `cut` says that there are more than were looked at."""

    copies: tuple[Made, ...]
    cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """The figures of one leader's or follower's copies among those of everybody."""

    person_id: int
    name: str
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Those with the most copies of a window, most first, and how many copies were looked at."""

    window: str
    looked_at: int
    cut: bool
    everybody: Quality
    leaders: tuple[Ranked, ...]
    followers: tuple[Ranked, ...]


def copies_in(rows: QuerySet[CopyTrade], *, window: str, now: datetime) -> QuerySet[CopyTrade]:
    """Those of these copies that were decided in the window; about twenty index probes."""
    span = WINDOWS[window][1]
    if span is None:
        return rows
    keys = keys_between(CopyTrade, "decided_at", now - span, None)
    return rows.filter(pk__gte=keys.first, decided_at__gte=now - span)


def looked_at(rows: QuerySet[CopyTrade]) -> Looked:
    """The newest of these copies, newest first; one query."""
    found = _newest(rows.order_by("-pk"))
    return Looked(copies=found[:COPIES_MAX], cut=len(found) > COPIES_MAX)


def looked_at_config(config_id: int, *, window: str, now: datetime) -> Looked:
    """The newest copies of one config, by its signals, which its index has in order: those heard in the window."""
    rows, span = CopyTrade.objects.filter(config_id=config_id), WINDOWS[window][1]
    if span is not None:
        keys = keys_between(Signal, "detected_at", now - span, None)
        rows = rows.filter(signal_id__gte=keys.first, detected_at__gte=now - span)
    found = _newest(rows.order_by("-signal_id"))
    return Looked(copies=found[:COPIES_MAX], cut=len(found) > COPIES_MAX)


def table(*, window: str, now: datetime) -> Table:
    """The newest copies of everybody, by leader and by follower; three queries beside the window's keys."""
    rows = copies_in(CopyTrade.objects.all(), window=window, now=now).order_by("-pk")
    told = list(rows.values_list("leader_id", "follower_id", *_COLUMNS)[: TABLE_COPIES_MAX + 1])
    cut = len(told) > TABLE_COPIES_MAX
    found = [(leader, follower, Made(*columns)) for leader, follower, *columns in told[:TABLE_COPIES_MAX]]
    return Table(
        window=window,
        looked_at=len(found),
        cut=cut,
        everybody=quality_of([made for _leader, _follower, made in found]),
        leaders=_ranked(((leader, made) for leader, _follower, made in found), _names_of(Leader)),
        followers=_ranked(((follower, made) for _leader, follower, made in found), _names_of(Follower)),
    )


def _newest(rows: QuerySet[CopyTrade]) -> tuple[Made, ...]:
    return tuple(Made(*columns) for columns in rows.values_list(*_COLUMNS)[: COPIES_MAX + 1])


def _ranked(
    copies: Iterable[tuple[int, Made]], names: Callable[[Iterable[int]], Mapping[int, str]]
) -> tuple[Ranked, ...]:
    by_person: dict[int, list[Made]] = {}
    for person, made in copies:
        by_person.setdefault(person, []).append(made)
    most = sorted(by_person, key=lambda person: (-len(by_person[person]), person))[:PEOPLE_MAX]
    called = names(most)
    return tuple(
        Ranked(person_id=person, name=called[person], quality=quality_of(by_person[person])) for person in most
    )


def _names_of(model: type[Leader | Follower]) -> Callable[[Iterable[int]], Mapping[int, str]]:
    return lambda ids: {row.pk: str(row) for row in model._default_manager.filter(pk__in=list(ids))}
