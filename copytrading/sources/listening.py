"""What the connections to the activity stream share: screening, reading and offering frames, and noticing silence."""

import asyncio
from collections import deque

import structlog

from copytrading.metrics import percentile
from copytrading.signals import ACTIVITY_TRADES, LeaderAction, Unreadable, parse_row
from copytrading.sources.base import Reading
from copytrading.sources.frames import (
    ORDERS_MATCHED,
    SOURCES,
    Frame,
    RecentFrames,
    Screen,
    Seen,
    Shown,
    moment_ms,
    read_frame,
)
from copytrading.sources.gaps import Gaps
from copytrading.sources.line import LOOKS, ActivitySettings, Line, Refused
from copytrading.sources.live import Ear
from copytrading.sources.stats import SourceStats
from execution.sockets import SocketDown, Sockets

SUBSCRIBE = (
    '{"action":"subscribe","subscriptions":'
    '[{"topic":"activity","type":"trades"},{"topic":"activity","type":"orders_matched"}]}'
)
PING = "PING"

SMALL_FRAME = 300
"""Bytes. A trade has more than twice as many; an error's body has not, and it must not pass for a foreign frame."""

TICK_S = 1.0
LAG_WINDOW_MS = 60_000
LEAVING_S = 5.0
"""So long an offer that is under way may take when a connection is closed."""

log = structlog.get_logger(__name__)


class Listening:
    """What all connections of the source share: whom to hear, what came before, and how old the feed is."""

    def __init__(self, ear: Ear, matched: SourceStats, settings: ActivitySettings, *, recent: RecentFrames) -> None:
        self._ear, self._settings, self._recent = ear, settings, recent
        self._stats = {ORDERS_MATCHED: matched}
        self._screen, self._version = Screen(ear.leaders.wallets), ear.leaders.version
        self._lags: deque[tuple[float, float]] = deque(maxlen=LOOKS * LAG_WINDOW_MS // 1_000)
        self._lines = 0
        self.gaps = Gaps(ear.clock, ear.stats)

    def lag_ms(self, now_ms: float) -> float | None:
        """See `ActivitySource.lag_ms`."""
        lags = [lag for at_ms, lag in self._lags if at_ms >= now_ms - LAG_WINDOW_MS]
        return percentile(lags, 95) if lags else None

    async def begin(self, sockets: Sockets) -> Line:
        """Connect and subscribe. Raises SocketDown."""
        socket = await sockets.open(self._settings.url, timeout_s=self._settings.open_s)
        try:
            await socket.send(SUBSCRIBE)
        except SocketDown:
            await socket.close()
            raise
        self._lines += 1
        line = Line(socket, f"activity:{self._lines}")
        now_ms = self._ear.clock.monotonic_ms()
        line.began_ms = line.data_at_ms = line.fresh_at_ms = now_ms
        least_s, most_s = self._settings.renew_least_s, self._settings.renew_most_s
        line.renew_at_ms = now_ms + 1_000 * (least_s + (most_s - least_s) * self._ear.randomness.fraction())
        line.begin(self._hear(line))
        return line

    async def _hear(self, line: Line) -> None:
        minding, receiving = asyncio.create_task(self._mind(line)), asyncio.create_task(self._receive(line))
        try:
            await asyncio.wait({minding, receiving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ends = await self._leave(line, minding, receiving)
            bug = next((end for end in ends if isinstance(end, Exception) and not isinstance(end, SocketDown)), None)
            if bug is not None:
                raise bug
        # What was noticed comes before what followed from the closing.
        raise next(end for end in ends if isinstance(end, SocketDown))

    async def _leave(
        self, line: Line, minding: asyncio.Task[None], receiving: asyncio.Task[None]
    ) -> tuple[BaseException | None, BaseException | None]:
        """Close, let an offer under way come to its end, end the walks; what both tasks ended with."""
        minding.cancel()
        await line.socket.close()
        await asyncio.wait({receiving}, timeout=LEAVING_S)
        receiving.cancel()
        ends = await asyncio.gather(minding, receiving, return_exceptions=True)
        self._count_foreign(line)
        for walk in (line.walk, *line.strange_walks.values()):
            await self._ear.sink.end_walk(walk)
        return ends

    async def _receive(self, line: Line) -> None:
        """The path of every frame of the venue: what concerns nobody must leave it within microseconds."""
        receive, exact = line.socket.receive, not self._settings.filter_by_address
        while True:
            frame = await receive()
            if len(frame) < SMALL_FRAME or line.looks or exact:
                await self._take(line, frame, concerns=self._may_concern(frame))
            elif self._may_concern(frame):
                await self._take(line, frame, concerns=True)
            elif b'"orders_matched"' in frame:
                line.foreign_matched += 1
            else:
                line.foreign += 1

    def _may_concern(self, frame: bytes) -> bool:
        if self._version != self._ear.leaders.version:
            self._screen, self._version = Screen(self._ear.leaders.wallets), self._ear.leaders.version
        return self._screen.may_concern(frame)

    async def _take(self, line: Line, raw: bytes, *, concerns: bool) -> None:
        """Decode, count, judge how fresh it is, and offer what followed wallets did."""
        frame = read_frame(raw)
        if frame.refusal:
            raise Refused(frame.refusal)
        if frame.unreadable and (concerns or len(raw) >= SMALL_FRAME):
            self._of("").received()
            self._of("").undecodable()
            log.warning("A frame could not be read.", action="read", walk=line.walk, why=frame.unreadable)
        if not frame.rows:
            return
        line.frames += 1
        line.looks = max(0, line.looks - 1)
        line.heard.set()
        self.gaps.heard()
        self._judge(line, frame)
        for walk, readings in self._readings(line, frame, concerns=concerns).items():
            line.busy = True
            await self._ear.sink.offer(walk, readings, complete=False)
            line.busy = False

    def _judge(self, line: Line, frame: Frame) -> None:
        now_ms, unix_ms = self._ear.clock.monotonic_ms(), self._ear.clock.now().timestamp() * 1_000
        for shown in frame.rows:
            moment = moment_ms(shown.row)
            if moment is None:
                continue
            lag_ms = unix_ms - moment
            self._lags.append((now_ms, max(0.0, lag_ms)))
            if abs(lag_ms) <= self._settings.fresh_s * 1_000:
                line.fresh_at_ms = now_ms
                self._of(shown.type).alive(now_ms)

    def _readings(self, line: Line, frame: Frame, *, concerns: bool) -> dict[str, list[Reading]]:
        found: dict[str, list[Reading]] = {}
        for shown in frame.rows:
            stats = self._of(shown.type)
            stats.received()
            walk = line.walk_of(shown.type)
            reading = self._reading(line, shown, stats, concerns=concerns, walk=walk or line.walk)
            if walk is None:
                stats.undecodable()
            elif reading is not None:
                found.setdefault(walk, []).append(reading)
        return found

    def _reading(self, line: Line, shown: Shown, stats: SourceStats, *, concerns: bool, walk: str) -> Reading | None:
        """The row, when it is to be offered."""
        source = SOURCES.get(shown.type, ACTIVITY_TRADES)
        reading = parse_row(shown.row, source=source, place=f"a frame of {line.walk}")
        if not isinstance(reading, LeaderAction):
            if isinstance(reading, Unreadable):
                stats.undecodable()
            return reading if concerns else None
        ours = reading.wallet in self._ear.leaders.wallets
        if ours or not self._settings.filter_by_address:
            # A new connection may show again what the last one has shown. Its walk takes it: only with all of its
            # rows is a group's total right, and totals of two walks are never added.
            seen = self._recent.note(shown, walk)
            if seen is not Seen.NEW:
                stats.duplicate()
            if seen is Seen.HERE:
                return None
        if not ours:
            stats.foreign()
        return reading if ours else None

    def _of(self, declared: str) -> SourceStats:
        return self._stats.get(declared, self._ear.stats)

    async def _mind(self, line: Line) -> None:
        """Ping, count, and raise SocketDown when nothing has come for too long."""
        clock, settings = self._ear.clock, self._settings
        frames, pinged_ms = line.frames, clock.monotonic_ms()
        while True:
            await clock.sleep(min(TICK_S, settings.ping_s, settings.silent_s))
            now_ms = clock.monotonic_ms()
            self._count_foreign(line)
            line.looks = LOOKS
            if line.frames != frames or line.busy:
                frames, line.data_at_ms = line.frames, now_ms
            if now_ms - line.data_at_ms >= settings.silent_s * 1_000:
                raise SocketDown(f"No data for {settings.silent_s:g} s.")
            self._notice_age(line, now_ms)
            if now_ms - pinged_ms >= settings.ping_s * 1_000:
                pinged_ms = now_ms
                await line.socket.send(PING)

    def _notice_age(self, line: Line, now_ms: float) -> None:
        stale_ms = self._settings.stale_s * 1_000
        if now_ms >= line.renew_at_ms:
            line.renew_at_ms = now_ms + stale_ms
            line.spent.set()
        elif now_ms - line.fresh_at_ms >= stale_ms:
            log.warning("The activity stream sends old data only.", action="watch", walk=line.walk)
            line.fresh_at_ms = now_ms
            line.spent.set()

    def _count_foreign(self, line: Line) -> None:
        for declared, number in (("", line.foreign), (ORDERS_MATCHED, line.foreign_matched)):
            if number:
                line.frames += number
                self._of(declared).received(number)
                self._of(declared).foreign(number)
        line.foreign = line.foreign_matched = 0
