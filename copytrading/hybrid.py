"""Whether the activity stream can be relied upon, and who was first with a trade. Pure.

In HYBRID the stream is the primary source; while it is unhealthy polling goes faster. One bad second is enough to
fall back, several good windows in a row are needed to come back, so the mode cannot flap.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from copytrading.signals import (
    ACTIVITY_ORDERS_MATCHED,
    ACTIVITY_TRADES,
    CHAIN_LOGS,
    DATA_API,
    ActionKind,
    GroupKey,
    LeaderAction,
    group_key,
)

RACES_MAX = 2_000
RACE_WINDOW_MS = 60_000
"""Trades of the last minute are compared."""

RACE_AGE_MAX = timedelta(seconds=15)
"""What is older when it is first heard comes from a page read again after a gap: the stream will not show it."""

SOCKET_SOURCES = frozenset({ACTIVITY_TRADES, ACTIVITY_ORDERS_MATCHED})
OTHER_SOURCES = frozenset({CHAIN_LOGS, DATA_API})
"""The mempool is left out: what it shows may never happen."""


class SignalMode(StrEnum):
    """Which of socket and polls are on; chain logs and mempool have switches of their own."""

    WS_ONLY = "WS_ONLY"
    POLLING_ONLY = "POLLING_ONLY"
    HYBRID = "HYBRID"

    @property
    def hears_socket(self) -> bool:
        """The activity stream is on."""
        return self is not SignalMode.POLLING_ONLY

    @property
    def polls(self) -> bool:
        """The Data API is polled."""
        return self is not SignalMode.WS_ONLY


class Health(StrEnum):
    """How the stream is; DEGRADED means that polling goes faster."""

    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"


class Trouble(StrEnum):
    """What is wrong with the stream."""

    SILENT = "SILENT"
    LAGGING = "LAGGING"
    BEHIND = "BEHIND"


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridTerms:
    """The bounds. Silence counts from `silent_ms` on while another source hears something, from `mute_ms` on always.

    `lag_max_ms` bounds the age of the feed at its 95th percentile, and how far it may be behind polls and chain logs
    with a trade: BEHIND are `behind_least` such trades of the last minute that are at least `behind_bps` of all.
    """

    silent_ms: int
    lag_max_ms: int
    mute_ms: int
    behind_least: int = 2
    behind_bps: int = 5_000
    window_ms: int = 10_000
    good_windows: int = 3
    healthy_least_ms: int = 10_000
    """After a recovery it stays HEALTHY for so long, whatever is seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is seen at a moment. Ages are those of the newest fresh data, None before the first.

    `listening` is False while nobody is followed: the stream is not subscribed then, and silence means nothing.
    """

    listening: bool
    fresh_ms: float | None
    others_fresh_ms: float | None
    lag_ms: float | None
    compared: int = 0
    behind: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridState:
    """`since_ms` is when the health last changed; `listening_ms` when listening began, None while nobody is heard."""

    health: Health = Health.HEALTHY
    since_ms: float
    trouble: Trouble | None = None
    value: int = 0
    limit: int = 0
    listening_ms: float | None = None
    window_ms: float = 0.0
    good_windows: int = 0


def after(state: HybridState, seen: Observation, terms: HybridTerms, now_ms: float) -> HybridState:
    """The state after this look. Only a change of health is news; `trouble` is why it is DEGRADED."""
    if not seen.listening:
        return state if state.listening_ms is None and state.health is Health.HEALTHY else HybridState(since_ms=now_ms)
    if state.listening_ms is None:
        state = replace(state, listening_ms=now_ms)
    found = _trouble(state, seen, terms, now_ms)
    if state.health is Health.HEALTHY:
        return _healthy(state, found, terms, now_ms)
    return _degraded(state, found, terms, now_ms, heard=_silence_ms(state, seen, now_ms) < terms.silent_ms)


@dataclass(frozen=True, slots=True)
class _Found:
    trouble: Trouble
    value: int
    limit: int


def _silence_ms(state: HybridState, seen: Observation, now_ms: float) -> float:
    listened_ms = now_ms - (now_ms if state.listening_ms is None else state.listening_ms)
    return listened_ms if seen.fresh_ms is None else min(seen.fresh_ms, listened_ms)


def _trouble(state: HybridState, seen: Observation, terms: HybridTerms, now_ms: float) -> _Found | None:
    silence_ms = _silence_ms(state, seen, now_ms)
    others_spoke = seen.others_fresh_ms is not None and seen.others_fresh_ms < silence_ms
    limit_ms = terms.silent_ms if others_spoke else terms.mute_ms
    if silence_ms >= limit_ms:
        return _Found(Trouble.SILENT, int(silence_ms), limit_ms)
    if seen.lag_ms is not None and seen.lag_ms > terms.lag_max_ms:
        return _Found(Trouble.LAGGING, int(seen.lag_ms), terms.lag_max_ms)
    if seen.behind >= terms.behind_least and seen.behind * 10_000 >= terms.behind_bps * seen.compared:
        return _Found(Trouble.BEHIND, seen.behind, terms.behind_least)
    return None


def _healthy(state: HybridState, found: _Found | None, terms: HybridTerms, now_ms: float) -> HybridState:
    recovered = state.good_windows > 0
    if found is None or (recovered and now_ms - state.since_ms < terms.healthy_least_ms):
        return state
    return HybridState(
        health=Health.DEGRADED,
        since_ms=now_ms,
        trouble=found.trouble,
        value=found.value,
        limit=found.limit,
        listening_ms=state.listening_ms,
        window_ms=now_ms,
    )


def _degraded(
    state: HybridState, found: _Found | None, terms: HybridTerms, now_ms: float, *, heard: bool
) -> HybridState:
    """Being quiet is not being well: a window is good only when fresh data came all the time."""
    if found is not None or not heard:
        return replace(state, window_ms=now_ms, good_windows=0)
    if now_ms - state.window_ms < terms.window_ms:
        return state
    good = state.good_windows + 1
    if good < terms.good_windows:
        return replace(state, window_ms=now_ms, good_windows=good)
    return HybridState(since_ms=now_ms, listening_ms=state.listening_ms, good_windows=good)


@dataclass(slots=True)
class _Race:
    began_ms: float
    socket_ms: float | None = None
    other_ms: float | None = None


class Races:
    """When the stream, and when polls and chain logs, first showed a trade: the newest `RACES_MAX` of them."""

    def __init__(self, *, lag_max_ms: int) -> None:
        self._lag_max_ms = lag_max_ms
        self._races: OrderedDict[GroupKey, _Race] = OrderedDict()
        self._since: datetime | None = None

    def begin(self, since: datetime | None) -> None:
        """The stream is heard since then, None: not at all; what happened before it could not show."""
        self._since = since
        self._races.clear()

    def heard(self, action: LeaderAction, now: datetime, now_ms: float) -> None:
        """A source has shown this; only its first showing of a trade matters."""
        ours = action.source in SOCKET_SOURCES
        if not ours and action.source not in OTHER_SOURCES:
            return
        if self._since is None or action.kind is not ActionKind.TRADE or action.traded_at < self._since:
            return
        race = self._races.get(group_key(action))
        if race is None:
            if now - action.traded_at > RACE_AGE_MAX:
                return
            race = self._races[group_key(action)] = _Race(now_ms)
            if len(self._races) > RACES_MAX:
                self._races.popitem(last=False)
        if ours and race.socket_ms is None:
            race.socket_ms = now_ms
        if not ours and race.other_ms is None:
            race.other_ms = now_ms

    def told(self, now_ms: float) -> tuple[int, int]:
        """How many trades of the last minute can be judged, and with how many the stream was too far behind.

        One that it has not shown yet is judged as soon as that is too far.
        """
        while self._races and next(iter(self._races.values())).began_ms < now_ms - RACE_WINDOW_MS:
            self._races.popitem(last=False)
        lates = [late for race in self._races.values() if (late := self._behind(race, now_ms)) is not None]
        return len(lates), sum(lates)

    def _behind(self, race: _Race, now_ms: float) -> bool | None:
        until_ms = now_ms if race.socket_ms is None else race.socket_ms
        late = race.other_ms is not None and until_ms - race.other_ms > self._lag_max_ms
        return late if late or race.socket_ms is not None else None
