"""What the page reads: events by their sequence, the state to begin with, and whose session it is. Cheap by bounds.

Nothing here counts a table: totals are the engine's own, in its newest event.
"""

from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model, load_backend
from django.contrib.auth.models import AbstractUser
from django.db.models import Max
from django.utils.crypto import constant_time_compare

from copytrading.models import DashboardEvent, ShardLease
from copytrading.stories import Story, newest_stories
from guardrails.models import Scope, Switch
from ledger.sql import database_now

EVENTS_MAX = 100
"""Events of one page, and how far a page may be behind before it starts anew: 25 s of one shard."""

HISTORY_MAX = 300
"""Events from which the page draws its first minute: 75 s of one shard at four events a second."""

STORIES_MAX = 40
LEASES_MAX = 64
SWITCHES_MAX = 100


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

    events: tuple[Event, ...]
    last: int
    behind: bool
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Who runs a shard. `held` is false when nobody does or the heartbeat stopped for longer than the lease."""

    shard: str
    holder: str
    term: int
    held: bool
    heartbeat_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchOn:
    """A switch that is on, and who turned it on."""

    kind: str
    scope: str
    key: str
    why: str
    who: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Who runs and what is switched off now, by the database's clock."""

    now: datetime
    paused: bool
    switches: tuple[SwitchOn, ...]
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that a page needs to begin, or to begin anew."""

    last: int
    status: Status
    newest: tuple[Story, ...]
    history: tuple[dict[str, Any], ...]


def last_sequence() -> int:
    """The newest event's sequence, 0 without events; one index lookup."""
    return DashboardEvent.objects.aggregate(last=Max("sequence"))["last"] or 0


def events_after(sequence: int) -> EventsPage:
    """The events after a sequence, at most EVENTS_MAX; none, and `behind`, for a page that cannot catch up."""
    last = last_sequence()
    behind = sequence > last or last - sequence > EVENTS_MAX
    rows = () if behind else DashboardEvent.objects.filter(sequence__gt=sequence).order_by("sequence")[:EVENTS_MAX]
    events = tuple(
        Event(sequence=row.sequence, kind=row.kind, created_at=row.created_at, payload=row.payload) for row in rows
    )
    return EventsPage(
        events=events, last=max((event.sequence for event in events), default=last), behind=behind, now=database_now()
    )


def state() -> State:
    """The state now: who runs, the newest copies, and the engine's last minute without its copies."""
    last = last_sequence()  # read first: what comes meanwhile is told again as an event, and not lost
    return State(last=last, status=status(), newest=newest_stories(STORIES_MAX), history=_history(last))


def status() -> Status:
    """Who runs each shard, and which switches are on; two small queries."""
    now, switches = database_now(), switches_on()
    return Status(now=now, paused=any(map(_pauses_everything, switches)), switches=switches, shards=_shards(now))


def switches_on() -> tuple[SwitchOn, ...]:
    """The switches that are on, newest change first."""
    rows = Switch.objects.filter(on=True).order_by("-changed_at")[:SWITCHES_MAX]
    return tuple(
        SwitchOn(kind=row.kind, scope=row.scope, key=row.key, why=row.why, who=row.changed_by, at=row.changed_at)
        for row in rows
    )


def is_staff_session(session_key: str | None) -> bool:
    """True while the session exists and its user is active, is staff and has not changed the password since.

    Django's own `get_user` would renew or delete the session; a socket only looks.
    """
    if not session_key:
        return False
    session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    if SESSION_KEY not in session or session.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return False
    user_id = get_user_model()._meta.pk.to_python(session[SESSION_KEY])
    user = load_backend(session[BACKEND_SESSION_KEY]).get_user(user_id)
    if not isinstance(user, AbstractUser) or not (user.is_active and user.is_staff):
        return False
    proof = session.get(HASH_SESSION_KEY, "")
    return any(
        constant_time_compare(proof, known)
        for known in (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    )


def _pauses_everything(switch: SwitchOn) -> bool:
    return switch.kind == Switch.Kind.PAUSE and switch.scope == Scope.GLOBAL


def _shards(now: datetime) -> tuple[Shard, ...]:
    return tuple(
        Shard(
            shard=f"{row.shard}/{row.of}",
            holder=row.holder,
            term=row.term,
            held=bool(row.holder) and row.expires_at > now,
            heartbeat_at=row.renewed_at,
        )
        for row in ShardLease.objects.order_by("of", "shard")[:LEASES_MAX]
    )


def _history(last: int) -> tuple[dict[str, Any], ...]:
    """The newest ticks, oldest first, without their copies: those are most of a payload."""
    rows = DashboardEvent.objects.filter(sequence__gt=last - HISTORY_MAX, sequence__lte=last, kind="tick")
    fields = ("shard", "interval_ms", "signals", "copies", "latency_ms", "queue", "in_flight")
    picked = {f"payload__{name}" for name in (*fields, "totals")}
    return tuple(
        {
            "sequence": row["sequence"],
            "created_at": row["created_at"],
            "payload": {name.removeprefix("payload__"): row[name] for name in picked},
        }
        for row in rows.order_by("sequence").values("sequence", "created_at", *picked)
    )
