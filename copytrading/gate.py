"""The last hop: pauses, breakers and the lease, looked at again right before the bytes leave."""

from dataclasses import dataclass

from copytrading.breaker_watch import Breakers, Leaving
from copytrading.shardlease import LeaseKeeper
from guardrails.intents import Facts, Limits, Reason, Refusal, TradeIntent
from guardrails.queries import Switches, switches
from guardrails.rules import PAUSES, evaluate
from ledger.clock import Clock
from ledger.db import Database
from ledger.shared_run import SharedRun

SWITCHES_AGE_MS_MAX = 250
"""A pause acts within a second: this, one query, and nothing else lie between the button and the gate."""

SEND_WITHIN_MS = 2_000
"""A row that waited longer after its prewrite is not sent: its price and its lease may be gone."""


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Stop:
    """Do not send. With a refusal the row is FAILED now; without one it is no longer ours to touch."""

    refusal: Refusal | None


class Gate:
    """Asked once for each order, immediately before it is sent."""

    def __init__(self, database: Database, clock: Clock, *, lease: LeaseKeeper, breakers: Breakers) -> None:
        self._database, self._clock, self._lease, self._breakers = database, clock, lease, breakers
        self._switches = Switches()
        self._read_ms: float | None = None
        self._batch = self._read_for = 0
        self._reading = SharedRun(self._read, name="gate")

    async def check(self, intent: TradeIntent, *, trade_id: int, mode: str, written_ms: float) -> Stop | None:
        """None when the order may leave now; it has taken a breaker's probe then, where one asks for it.

        `mode` says where it goes, `written_ms` is when its prewrite began.
        """
        await self._refresh()
        if not self._lease.trusted():
            return Stop(refusal=None)
        on = self._switches
        leaving = Leaving(trade_id, intent.follower_id, intent.side, mode)
        facts = Facts(
            now=self._clock.now(),
            global_pause=on.global_pause,
            follower_paused=on.follower_paused(intent.follower_id),
            leader_paused=on.leader_paused(intent.leader_id),
            market_paused=on.market_paused(intent.condition_id),
            breaker_open=self._breakers.holds(leaving),
        )
        refusals = evaluate(PAUSES, intent, facts, NO_LIMITS).refusals
        if refusals:
            return Stop(_stopped_by(refusals))
        if self._clock.monotonic_ms() - written_ms > SEND_WITHIN_MS:
            return Stop(Refusal(Reason.TOO_LATE_TO_SEND))
        # Last, because a probe that is granted must be sent; nothing is awaited from the question to the grant.
        if not self._breakers.grant(leaving):
            return Stop(Refusal(Reason.BREAKER_OPEN))
        return None

    async def _refresh(self) -> None:
        wanted = self._batch
        if self._is_fresh(wanted):
            return
        # One question for all orders that ask at the same moment. One that was begun for an earlier batch says nothing
        # of this one; how long the answer takes does not matter, for the next would be no younger.
        await self._reading.join()
        if self._read_for < wanted:
            await self._reading.join()

    async def _read(self) -> None:
        asked_ms, batch = self._clock.monotonic_ms(), self._batch
        self._switches = await self._database.run(switches)
        self._read_ms, self._read_for = asked_ms, batch

    def _is_fresh(self, batch: int) -> bool:
        if self._read_ms is None or self._read_for < batch:
            return False
        return self._clock.monotonic_ms() - self._read_ms <= SWITCHES_AGE_MS_MAX

    def forget(self) -> None:
        """Read the switches anew for the next order: called once for each batch."""
        self._batch += 1


def _stopped_by(refusals: tuple[Refusal, ...]) -> Refusal:
    """A pause is a person's word and named first; otherwise the breaker."""
    paused = any(refusal.reason is not Reason.BREAKER_OPEN for refusal in refusals)
    return Refusal(Reason.PAUSED_BEFORE_SEND) if paused else refusals[0]
