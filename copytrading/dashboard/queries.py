"""What the page reads: events by their sequence, the state to begin with, and whose session it is. Cheap by bounds.

Nothing here counts a table: totals are the engine's own, in its newest event.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model, load_backend
from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.db.models import Max, Q
from django.utils.crypto import constant_time_compare

from copytrading.dashboard.history import WINDOW_S, History, Tick
from copytrading.dashboard.status import Status, status
from copytrading.explain.stories import Story, newest_stories, stories_of
from copytrading.models import DashboardEvent
from ledger.sql import database_now

EVENTS_MAX = 500
"""Events of one answer, and how far a page may be behind before it starts anew: two minutes of one shard, and more of
sixteen than a page waits for its next hint while a hundred are open. A kilobyte or two each."""

LOOK = "copytrading.view_copytrade"
"""The permission that the page, its fetches and its socket ask of staff; every role has it (copytrading/roles.py)."""

HISTORY_MAX = 5_000
"""Events from which a page's first minutes are made: as many as are kept, so many minutes of a few shards."""

LAST_WORDS = 64
"""Events that are told whatever their age: the last totals of as many shards."""

STORIES_MAX = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One row of the outbox."""

    sequence: int
    kind: str
    created_at: datetime
    payload: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsPage:
    """What came after a sequence. `behind` says: too much to catch up with, read the state again."""

    last: int
    behind: bool
    events: tuple[Event, ...]
    newest: tuple[Story, ...]
    status: Status
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that a page needs to begin, or to begin anew."""

    last: int
    status: Status
    newest: tuple[Story, ...]
    history: tuple[Tick, ...]
    shards: tuple[Tick, ...]
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """What a process that keeps the newest events has to add; `anew` when it has to forget the old ones first."""

    last: int
    anew: bool
    events: tuple[Event, ...] = ()
    newest: tuple[Story, ...] = ()


def last_sequence() -> int:
    """The newest event's sequence, 0 without events; one index lookup."""
    return DashboardEvent.objects.aggregate(last=Max("sequence"))["last"] or 0


def fresh(known: int | None, watched: Sequence[int] = ()) -> Fresh:
    """What came after the sequence that is known; one query when nothing did. None: the last minutes.

    `watched` copies are told again with those that the events name: an event names only a few of many.
    """
    last = last_sequence()  # read first: what comes meanwhile is told the next time, and not lost
    if known == last:
        return Fresh(last=last, anew=False)
    if known is None or not 0 <= last - known <= EVENTS_MAX:
        return Fresh(last=last, anew=True, events=_recent(last), newest=newest_stories(STORIES_MAX))
    events = _events(DashboardEvent.objects.filter(sequence__gt=known, sequence__lte=last).order_by("sequence"))
    return Fresh(last=last, anew=False, events=events, newest=stories_of({*named_in(events), *watched}))


def events_after(sequence: int) -> EventsPage:
    """The events after a sequence, at most EVENTS_MAX; none, and `behind`, for a page that cannot catch up."""
    last = last_sequence()
    behind = sequence > last or last - sequence > EVENTS_MAX
    rows = () if behind else DashboardEvent.objects.filter(sequence__gt=sequence).order_by("sequence")[:EVENTS_MAX]
    events = _events(rows)
    found = status()
    return EventsPage(
        last=max((event.sequence for event in events), default=last),
        behind=behind,
        events=events,
        newest=stories_of(named_in(events)),
        status=found,
        now=found.now,
    )


def state() -> State:
    """The state now: who runs, the newest copies, and the engine's last minutes by the second."""
    found = fresh(None)
    history = History()
    for event in found.events:
        if event.kind == "tick":
            history.add(event.created_at, event.payload)
    told = status()
    return State(
        last=found.last,
        status=told,
        newest=found.newest,
        history=history.ticks(),
        shards=history.newest(),
        now=told.now,
    )


def named_in(events: Iterable[Event]) -> tuple[int, ...]:
    """The newest copies that these events name, at most STORIES_MAX."""
    ticks = (event.payload for event in events if event.kind == "tick")
    named = {number for payload in ticks for number in payload.get("newest", ()) if isinstance(number, int)}
    return tuple(sorted(named, reverse=True)[:STORIES_MAX])


def may_look(person: AbstractUser | AnonymousUser) -> bool:
    """Whether a person may see what is copied: staff with a role, or with the permission by itself."""
    return person.is_active and person.is_staff and person.has_perm(LOOK)


def session_may_look(session_key: str | None) -> bool:
    """True while the session exists and its user may look and has not changed the password since.

    Django's own `get_user` would renew or delete the session; a socket only looks.
    """
    if not session_key:
        return False
    session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    if SESSION_KEY not in session or session.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return False
    user_id = get_user_model()._meta.pk.to_python(session[SESSION_KEY])
    user = load_backend(session[BACKEND_SESSION_KEY]).get_user(user_id)
    if not isinstance(user, AbstractUser):
        return False
    proof = session.get(HASH_SESSION_KEY, "")
    known = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    return any(constant_time_compare(proof, each) for each in known) and may_look(user)


def _recent(last: int) -> tuple[Event, ...]:
    since = database_now() - timedelta(seconds=WINDOW_S)
    rows = DashboardEvent.objects.filter(sequence__gt=last - HISTORY_MAX, sequence__lte=last)
    # An engine that stopped long ago still has its last words.
    in_window = rows.filter(Q(created_at__gt=since) | Q(sequence__gt=last - LAST_WORDS))
    return _events(in_window.order_by("sequence"))


def _events(rows: Iterable[DashboardEvent]) -> tuple[Event, ...]:
    return tuple(
        Event(sequence=row.sequence, kind=row.kind, created_at=row.created_at, payload=row.payload) for row in rows
    )
