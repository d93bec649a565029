"""The venue itself: sends orders to the CLOB, asks about them by their hash, and never sends one a second time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from execution.clob.client import ClobClient, TradeFilter
from execution.clob.credentials import Access, CredentialBook
from execution.clob.market_fees import FeeBook
from execution.clob.metrics import CLOB_ORDERS_TOTAL
from execution.clob.order_state import OrderShown, OrderStateError, read_order
from execution.clob.order_wire import order_body
from execution.clob.outcomes import Killed, KnownAlready, Reading, read_order_answer
from execution.clob.rates import OrderRates
from execution.clob.trades import FeeOf, TradeError, order_hashes, own_hashes, read_trades, token_of
from execution.fees import NO_FEE, FeeTerms
from execution.hosts import HostDown, HostRefused
from execution.http import Answer, HeldBack, HttpDown, NeverConnected
from execution.orders import OrderPlan
from execution.ports import (
    HoldUp,
    NotFound,
    NotTaken,
    OrderRef,
    OrderState,
    Outcome,
    Rejected,
    RejectReason,
    Resting,
    Unknown,
    VenueTrade,
)
from ledger.clock import Clock
from ledger.units import Micros

CONNECT_AGAIN_S = 0.5
"""After a connection that was refused."""

LIMITS_MS_MAX = 250
"""Whoever sends looked at pauses and breakers before the shared limits were asked; after so long they look again."""

LEAVES_MS_MAX = 500
"""The same with the connection, whose making may take seconds: an order leaves within this of the look at pauses and
breakers or not at all. With what that look may be old, it keeps the second within which a pause acts."""

TRADES_SINCE_S = 60
"""Trades are read from so long before an order may have stood: its time is ours, theirs the venue's."""

ARRIVED_AFTER = timedelta(minutes=1)
"""What was sent has arrived by then or never will: from then on an order that is not there rests no more."""

ACCESS_AGAIN_S = 1.0
"""Credentials are opened at the start, asked for anew when the venue refuses them, and changed with the account's key:
each takes about as long. Who may trade at all was decided before."""

NO_ACCESS = "The account has no API credentials."
OTHER_KEY = "The API credentials are another key's."

log = structlog.get_logger(__name__)

OnRejected = Callable[[OrderPlan, int, Rejected], None]
"""Told of every definite no with the plan and its follower: memories are out of date, or an account must stop."""


class FillsOnChain(Protocol):
    """Whoever can ask the exchanges' contracts."""

    async def has_fills(self, order_hash: str) -> bool | None:
        """Whether anything of the order was filled there; None: nobody knows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClobDoors:
    """What the venue is reached and understood by; `chain` None where no node is known."""

    client: ClobClient
    access: CredentialBook
    rates: OrderRates
    fees: FeeBook
    clock: Clock
    on_rejected: OnRejected | None = None
    chain: FillsOnChain | None = None


class ClobVenue:
    """`Venue` over the CLOB for all accounts. Signed bytes and secrets are nowhere but in the request."""

    name = "clob"

    def __init__(self, doors: ClobDoors) -> None:
        self._doors = doors

    async def submit(self, plan: OrderPlan, signature: bytes, *, follower_id: int) -> Outcome:
        """Post once. `NotTaken` when the limits or the venue did not let it through; a lost answer is `Unknown`."""
        # Whoever calls has just looked at pauses and breakers.
        looked_ms = self._doors.clock.monotonic_ms()
        access = await self._doors.access.of(follower_id)
        if access is None or (plan.key and access.signer.lower() != plan.key.lower()):
            # The venue would refuse the account for good, and nothing was sent.
            lacks = NO_ACCESS if access is None else OTHER_KEY
            outcome: Outcome = NotTaken(why=HoldUp.UNAVAILABLE, wait_s=ACCESS_AGAIN_S, detail=lacks)
        else:
            outcome = await self._submit(plan, signature, access=access, follower_id=follower_id, looked_ms=looked_ms)
        CLOB_ORDERS_TOTAL.labels(type(outcome).__name__.lower()).inc()
        if isinstance(outcome, Rejected) and self._doors.on_rejected is not None:
            self._doors.on_rejected(plan, follower_id, outcome)
        return outcome

    async def look_up(self, order: OrderRef) -> OrderState:
        """The order itself while the venue holds it, and its trades, which decide; at last the chain's word, if known.

        Never `Filled`: trades come with their status, and whoever tracks them knows when they are final. Rejected only
        when the venue shows the order as dead and no trade of it; that it shows nothing is `NotFound`. Neither holds
        against a fill on chain: then it is matched, and its trades have yet to be shown.
        """
        state = await self._shown(order)
        chain = self._doors.chain
        if chain is not None and isinstance(state, NotFound | Rejected) and await chain.has_fills(order.order_hash):
            # Not final, dead as it may be: an order that ended without a trade would be one that filled nothing.
            return Resting(matched=True)
        return state

    async def _shown(self, order: OrderRef) -> OrderState:
        """What the venue itself shows."""
        access = await self._doors.access.of(order.follower_id)
        if access is None:
            return Unknown(detail=NO_ACCESS)
        try:
            row = await self._doors.client.order(order.order_hash, access.credentials)
            shown = None if row is None else read_order(row)
            # Asked after the order: what was matched in between is seen here at the latest.
            trades = await self._trades(order, access)
        except (HostDown, TradeError, OrderStateError) as trouble:
            return Unknown(detail=str(trouble))
        except HostRefused as refused:
            return Unknown(detail=str(refused))
        if shown is not None and shown.order_hash != order.order_hash:
            return Unknown(detail="It answered with another order.")
        return _state(shown, trades)

    async def cancel(self, order: OrderRef) -> bool:
        """Cancel by hash. An order that the venue cannot find rests no more only when it must long have arrived."""
        access = await self._doors.access.of(order.follower_id)
        if access is None:
            return False
        try:
            answer = await self._doors.client.cancel([order.order_hash], access.credentials)
        except (HostDown, HostRefused) as trouble:
            log.warning("A cancel was not answered.", action="cancel", order_hash=order.order_hash, why=str(trouble))
            return False
        if order.order_hash in answer.gone:
            return True
        why = answer.kept.get(order.order_hash, "").lower()
        if "found" in why or not why:
            return bool(why) and self._doors.clock.now() >= order.since + ARRIVED_AFTER
        return "already cancel" in why or "matched" in why

    async def account_trades(self, follower_id: int, *, since: datetime) -> tuple[VenueTrade, ...]:
        """Every part that this account's orders had in trades since then, also of orders that nobody here knows.

        For the audit, and never to be booked: where the fee of a market is not known it is left out. Raises HostDown
        and HostRefused; HostDown also for trades that cannot be read.
        """
        access = await self._doors.access.of(follower_id)
        if access is None:
            raise HostDown(NO_ACCESS)
        wanted = TradeFilter(after_s=int(since.timestamp()))
        rows = await self._doors.client.trades(wanted, access.credentials)
        # Who else has the key may trade where nobody here ever did: that is what the audit is to find.
        return await self._own_parts(rows, access, unknown=NO_FEE)

    async def own_parts(self, rows: Sequence[Mapping[str, object]], access: Access) -> tuple[VenueTrade, ...]:
        """The parts that an account's orders had in these trade rows, also of orders that nobody here knows.

        Raises HostDown for rows that cannot be read, or not yet.
        """
        return await self._own_parts(rows, access)

    async def _own_parts(
        self, rows: Sequence[Mapping[str, object]], access: Access, *, unknown: FeeTerms | None = None
    ) -> tuple[VenueTrade, ...]:
        try:
            fees = await self._fees({token_of(row) for row in rows}, unknown=unknown)
            own = {each for row in rows for each in own_hashes(row, wallet=access.wallet)}
            return read_trades(rows, own, fee_of=fees)
        except TradeError as error:
            raise HostDown(str(error)) from None

    async def _submit(
        self, plan: OrderPlan, signature: bytes, *, access: Access, follower_id: int, looked_ms: float
    ) -> Outcome:
        doors = self._doors

        def since_ms() -> float:
            return doors.clock.monotonic_ms() - looked_ms

        wait_ms = await doors.rates.wait_ms(access.signer, access.tier)
        if since_ms() > LIMITS_MS_MAX and not wait_ms:
            doors.rates.answered(heard=False)
            return NotTaken(why=HoldUp.UNAVAILABLE, wait_s=0.0, detail="our own limits answered late")
        if wait_ms > 0:
            why = doors.rates.why
            detail = "our own limits" if why is HoldUp.RATE_LIMITED else "the venue takes no orders"
            return NotTaken(why=why, wait_s=wait_ms / 1_000, detail=detail)
        body = order_body(plan, signature, owner=access.credentials.api_key)
        try:
            answer = await doors.client.post_order(
                body, access.credentials, may_leave=lambda: since_ms() <= LEAVES_MS_MAX
            )
        except HeldBack:
            # The connection is kept: after a new look the order finds it ready.
            doors.rates.answered(heard=False)
            return NotTaken(why=HoldUp.UNAVAILABLE, wait_s=0.0, detail="the connection came late")
        except NeverConnected:
            doors.rates.answered(heard=False)
            return NotTaken(why=HoldUp.UNAVAILABLE, wait_s=CONNECT_AGAIN_S, detail="no connection")
        except HttpDown as lost:
            doors.rates.answered(heard=False)
            log.warning("An order was not answered.", action="submit", order_hash=plan.order_hash, why=str(lost))
            return Unknown(detail=str(lost))
        now_s = doors.clock.now().timestamp()
        reading = read_order_answer(answer.status, answer.body, headers=answer.headers, plan=plan, now_s=now_s)
        self._note(access, answer, reading)
        if isinstance(reading, Killed | KnownAlready):
            return await self._decided_by_trades(plan, reading, follower_id=follower_id)
        return reading

    def _note(self, access: Access, answer: Answer, reading: Reading) -> None:
        """Learn from the answer who may not post for a while: this signer, or everybody."""
        used_up = self._doors.rates.noted(access.signer, answer.headers)
        if not isinstance(reading, NotTaken):
            self._doors.rates.answered(heard=not isinstance(reading, Unknown))
            return
        if used_up and reading.why is HoldUp.RATE_LIMITED:
            self._doors.rates.answered()
            self._doors.rates.hold_signer(access.signer, reading.wait_s)
        else:
            self._doors.rates.hold(reading.wait_s, reading.why)

    async def _decided_by_trades(self, plan: OrderPlan, reading: Killed | KnownAlready, *, follower_id: int) -> Outcome:
        """What an order became that the venue calls killed, or had accepted before."""
        order = _ref(plan, follower_id)
        # Not the chain: what was matched now is in no block yet, and the account's other orders wait.
        state = await self._shown(order)
        if isinstance(state, NotFound):
            if isinstance(reading, KnownAlready):
                # It stands or stood: rescue goes on asking.
                return Resting(matched=False)
            return Rejected(reason=RejectReason.NO_FILL, detail=reading.detail)
        return state

    async def _trades(self, order: OrderRef, access: Access) -> tuple[VenueTrade, ...]:
        wanted = TradeFilter(token_id=order.token_id, after_s=int(order.since.timestamp()) - TRADES_SINCE_S)
        rows = await self._doors.client.trades(wanted, access.credentials)
        ours = [row for row in rows if order.order_hash in order_hashes(row)]
        if not ours:
            return ()
        fees = await self._fees({token_of(row) for row in ours})
        return read_trades(ours, {order.order_hash}, fee_of=fees)

    async def _fees(self, tokens: set[int], *, unknown: FeeTerms | None = None) -> FeeOf:
        """The fees of these tokens' markets; `unknown` is that of those that are not known, None where none is read."""
        known: dict[int, FeeTerms] = {}
        for token in tokens:
            terms = await self._doors.fees.fee_terms(token) or unknown
            if terms is not None:
                known[token] = terms

        def fee_of(token: int) -> FeeTerms:
            if token not in known:
                # Nothing is booked on a guess: it is asked about again.
                raise TradeError("The fee of a market is not known.")
            return known[token]

        return fee_of


def _state(shown: OrderShown | None, trades: tuple[VenueTrade, ...]) -> OrderState:
    traded = sum(trade.size_micros for trade in trades)
    matched = max(traded, 0 if shown is None else shown.matched_micros)
    rests = shown is not None and shown.rests
    if matched or (shown is not None and not shown.rests and not shown.dead):
        return Resting(matched=True, matched_micros=Micros(matched), trades=trades, final=not rests)
    if shown is None:
        return NotFound()
    if rests:
        return Resting(matched=False)
    reason = RejectReason.REJECTED if shown.invalid else RejectReason.NO_FILL
    return Rejected(reason=reason, detail="The venue shows it as dead.")


def _ref(plan: OrderPlan, follower_id: int) -> OrderRef:
    return OrderRef(
        order_hash=plan.order_hash,
        follower_id=follower_id,
        token_id=plan.token_id,
        # A plan does not know its market; the token names it as well.
        condition_id="",
        side=plan.side,
        size_micros=plan.size_micros,
        since=datetime.fromtimestamp(plan.timestamp_ms / 1_000, tz=UTC),
    )
