"""The paper venue: fills limit orders against books without sending anything, with a stated latency and failures."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from execution.books import Book, Level, Match, consume, match
from execution.fees import taker_fee
from execution.orders import OffTick, OrderPlan, OrderType, check_price, order_hash
from execution.ports import (
    Fill,
    Filled,
    NotFound,
    OrderRef,
    OrderState,
    Outcome,
    Rejected,
    RejectReason,
    Unknown,
)
from execution.preflight import MarketTerms, market_refusal, size_refusal
from execution.quotes import KnownQuotes, remember
from execution.quotes.base import VERSIONS_KEPT_MS
from execution.recent import Recent
from ledger.clock import Clock, Randomness
from ledger.units import BPS, Micros, Side

SIGNATURE_BYTES_MIN = 65


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperConfig:
    """How slow and how faulty the venue is; the three failures are shares of all submissions and exclude each other.

    `latency_ms` and up to `jitter_ms` more pass half before and half after the order meets the book.
    `lost_answer_bps`: the order is executed, its sender learns nothing. `lost_request_bps`: it never arrives.
    `orders_max` orders are remembered for `look_up`, and what is left of `books_max` sides of books for `books_kept_ms`
    after the last order there.
    """

    latency_ms: int = 60
    jitter_ms: int = 40
    reject_bps: int = 0
    lost_answer_bps: int = 0
    lost_request_bps: int = 0
    orders_max: int = 5_000
    books_max: int = 10_000
    books_kept_ms: int = VERSIONS_KEPT_MS

    def __post_init__(self) -> None:
        shares = (self.reject_bps, self.lost_answer_bps, self.lost_request_bps)
        if min(self.latency_ms, self.jitter_ms, *shares) < 0 or sum(shares) > BPS:
            raise ValueError("Paper latencies and failure shares must not be negative, nor the shares above 10000 bps.")
        if min(self.orders_max, self.books_max) < 1:
            raise ValueError("The paper venue must be allowed to remember at least one order and one book.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperDoors:
    """What the venue asks: books (the very source the pipeline quoted from), market terms, time and chance."""

    quotes: KnownQuotes
    terms_of: Callable[[int], MarketTerms]
    clock: Clock
    randomness: Randomness


class PaperVenue:
    """`Venue` whose orders are final at once: filled, perhaps in part, or rejected.

    Orders that meet the same version of a book compete for its liquidity in the order of their arrival; a while after
    the last of them it is there again. Nothing is awaited between looking an order up and remembering it, so one hash
    is executed once.
    """

    def __init__(self, name: str, doors: PaperDoors, *, config: PaperConfig) -> None:
        self.name = name
        self._doors = doors
        self._config = config
        self._orders: OrderedDict[str, Filled | Rejected] = OrderedDict()
        self._left: Recent[tuple[int, str, Side], tuple[Level, ...]] = Recent(
            bound=config.books_max, kept_ms=config.books_kept_ms
        )

    async def submit(self, plan: OrderPlan, signature: bytes, *, follower_id: int = 0) -> Outcome:  # noqa: ARG002
        """Execute once by order hash. The same hash again ("Duplicated") gets the same answer."""
        rejected, answer_lost, request_lost = self._draw_failure()
        await self._travel()
        if request_lost:
            return Unknown(detail="The request was lost on its way.")
        book = await self._book(plan)
        answer = self._orders.get(plan.order_hash)
        if answer is None:
            answer = self._refuse(plan, signature, at_random=rejected) or self._execute(plan, book)
            remember(self._orders, plan.order_hash, answer, bound=self._config.orders_max)
        await self._travel()
        return Unknown(detail="The answer was lost on its way.") if answer_lost else answer

    async def look_up(self, order: OrderRef) -> OrderState:
        """The final answer to this hash; not found when it never arrived, or so long ago that it was forgotten."""
        await self._travel()
        answer = self._orders.get(order.order_hash)
        await self._travel()
        return answer or NotFound()

    async def cancel(self, order: OrderRef) -> bool:  # noqa: ARG002  (the port's name)
        """Nothing ever rests here."""
        return True

    def _draw_failure(self) -> tuple[bool, bool, bool]:
        config = self._config
        draw = self._doors.randomness.below(BPS)
        answer_lost_below = config.reject_bps + config.lost_answer_bps
        rejected = draw < config.reject_bps
        answer_lost = config.reject_bps <= draw < answer_lost_below
        request_lost = answer_lost_below <= draw < answer_lost_below + config.lost_request_bps
        return rejected, answer_lost, request_lost

    async def _travel(self) -> None:
        """One way: half the latency with up to half the jitter; a venue without both answers at once."""
        if not self._config.latency_ms and not self._config.jitter_ms:
            return
        jitter_ms = self._doors.randomness.below(self._config.jitter_ms + 1)
        await self._doors.clock.sleep((self._config.latency_ms + jitter_ms) / 2000)

    async def _book(self, plan: OrderPlan) -> Book | None:
        quotes = self._doors.quotes
        quote = quotes.last(plan.token_id, version=plan.book_version)
        if quote is None:
            # Nobody has quoted this token since the start (a resend after a crash): the limit is all that is known.
            quote = await quotes.quote(plan.token_id, around_micros=plan.limit_micros)
        return quote.book if quote else None

    def _refuse(self, plan: OrderPlan, signature: bytes, *, at_random: bool) -> Rejected | None:
        terms = self._doors.terms_of(plan.token_id)
        if len(signature) < SIGNATURE_BYTES_MIN or order_hash(plan) != plan.order_hash:
            return Rejected(reason=RejectReason.REJECTED, detail="Invalid order payload: unsigned, or not its hash.")
        if market_refusal(closed=terms.closed, accepting_orders=terms.accepting_orders):
            return Rejected(reason=RejectReason.MARKET_CLOSED, detail="The market takes no orders.")
        try:
            check_price(plan.limit_micros, terms.tick_micros)
        except OffTick as error:
            return Rejected(reason=RejectReason.OFF_TICK, detail=str(error))
        refusal = size_refusal(
            plan.side, plan.size_micros, limit_micros=plan.limit_micros, min_size_micros=terms.min_size_micros
        )
        if refusal:
            return Rejected(reason=RejectReason.BELOW_MINIMUM, detail=str(refusal))
        if plan.order_type is OrderType.GTC:
            return Rejected(reason=RejectReason.REJECTED, detail="Nothing rests on the paper venue: FAK or FOK only.")
        return Rejected(reason=RejectReason.REJECTED, detail="Rejected by chance.") if at_random else None

    def _execute(self, plan: OrderPlan, book: Book | None) -> Filled | Rejected:
        if book is None:
            return Rejected(reason=RejectReason.NO_FILL, detail="There is no book for the token.")
        key = (plan.token_id, book.version, plan.side)
        before = self._left.get(key)
        levels = book.side_against(plan.side) if before is None else before
        found = match(levels, plan.side, size_micros=plan.size_micros, limit_micros=plan.limit_micros)
        if found.size_micros == 0 or (plan.order_type is OrderType.FOK and found.size_micros < plan.size_micros):
            return Rejected(reason=RejectReason.NO_FILL, detail="No orders found to match within the limit.")
        now_ms = self._doors.clock.monotonic_ms()
        self._left.put(key, consume(levels, found.size_micros), now_ms=now_ms)
        return Filled(fill=self._fill(plan.token_id, found))

    def _fill(self, token_id: int, found: Match) -> Fill:
        fee: Micros = taker_fee(found.size_micros, found.price_micros, terms=self._doors.terms_of(token_id).fee)
        return Fill(
            size_micros=found.size_micros,
            price_micros=found.price_micros,
            cost_micros=found.cost_micros,
            fee_micros=fee,
        )
