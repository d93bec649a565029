"""Carries pairs through the two pure decisions: which copies are wanted, and which orders they become."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from copytrading.batches import Pair
from copytrading.decide import Config, OrderFacts, SignalFacts, Skip, decide_copy, plan_order
from copytrading.depth import DepthLeft
from copytrading.facts import Gathered
from copytrading.operations.decisions import Decision
from execution.accounts import buy_refusals
from execution.fees import max_fee
from execution.ports import FALLBACK, Quote
from guardrails.intents import Reason, Refusal, TradeIntent
from ledger.clock import Clock, Ids
from ledger.units import Micros, Side

MS = 1_000

BookKey = tuple[int, int, str]
"""(signal id, token id, mode): those against the leader trade another token, and pretend money may see other books."""

Quotes = Mapping[BookKey, Quote]

POLY_PROXY = 1
"""The follower's wallet holds the funds and another key signs (polymarket.md 2.1): what a paper account is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One pair's first decision."""

    pair: Pair
    answer: TradeIntent | Skip


def decide_all(pairs: Sequence[Pair], gathered: Gathered) -> list[Answer]:
    """The first decision for each pair that has no copy yet."""
    return [
        _answer(gathered.seen_by(signal, config), signal, config, gathered)
        for signal, config in pairs
        if (config.config_id, signal.signal_id) not in gathered.decided
    ]


def _answer(seen: SignalFacts | None, signal: SignalFacts, config: Config, gathered: Gathered) -> Answer:
    if seen is None:
        # Against the leader needs the market's other token, which nobody has named yet.
        return Answer((signal, config), Skip(refusals=(Refusal(Reason.FACT_MISSING, subject="other token"),)))
    return Answer((seen, config), decide_copy(seen, config, gathered.copy_facts(seen, config)))


class Planner:
    """The second decision: limit, salt, moment and order hash of every wanted copy.

    Orders of one side on one book are planned one after the other, each on what those before have left of it.
    """

    def __init__(self, clock: Clock, ids: Ids, *, signer_wallet: str) -> None:
        self._clock, self._ids, self._signer_wallet = clock, ids, signer_wallet
        self._depth = DepthLeft()

    def plan_all(self, answers: Sequence[Answer], gathered: Gathered, quotes: Quotes) -> list[Decision]:
        """A decision for each answer; a missing quote is no liquidity."""
        timestamp_ms = int(self._clock.now().timestamp() * MS)
        return [self._plan(each, gathered, quotes, timestamp_ms=timestamp_ms) for each in answers]

    def _plan(self, each: Answer, gathered: Gathered, quotes: Quotes, *, timestamp_ms: int) -> Decision:
        (signal, config), answer = each.pair, each.answer
        if isinstance(answer, Skip):
            return _skipped(each.pair, answer)
        quote = quotes.get((signal.signal_id, signal.token_id, config.mode))
        account = gathered.account_of(config)
        order = self._order(each.pair, gathered, quote, timestamp_ms=timestamp_ms)
        planned = plan_order(
            _noted(answer, quote), order, gathered.rule_facts(signal, config), gathered.operator.limits
        )
        if isinstance(planned, Skip):
            return _skipped(each.pair, planned, quote)
        intent, plan = planned.intent, planned.plan
        fee = max_fee(plan.size_micros, plan.limit_micros, terms=order.market.fee)
        if account is not None and plan.side is Side.BUY:
            refused = buy_refusals(account, plan.domain, intent.cost_micros + fee)
            if refused:
                return _skipped(each.pair, Skip(refusals=refused, intent=intent), quote)
        assert order.book is not None
        now_ms = self._clock.monotonic_ms()
        self._depth.take(config.mode, order.book, side=plan.side, size_micros=planned.takes_micros, now_ms=now_ms)
        return Decision(
            config=config,
            signal=signal,
            refusals=(),
            intent=intent,
            plan=plan,
            fee_max_micros=fee,
            budgets=gathered.budgets(signal, config),
            quote_source=quote.source if quote else "",
            best_micros=order.book.best_against(plan.side),
        )

    def _order(self, pair: Pair, gathered: Gathered, quote: Quote | None, *, timestamp_ms: int) -> OrderFacts:
        signal, config = pair
        book = quote.book if quote else None
        account = gathered.account_of(config)
        return OrderFacts(
            book=book,
            left=self._depth.of(config.mode, book, side=signal.side, now_ms=self._clock.monotonic_ms()),
            market=gathered.market(signal.condition_id).terms,
            maker=config.follower_wallet,
            signer=account.order_signer if account else self._signer_wallet,
            signature_type=account.signature_type if account else POLY_PROXY,
            key=account.signer if account else self._signer_wallet,
            salt=self._ids.salt(),
            timestamp_ms=timestamp_ms,
            slippage=config.slippage,
            fee_bps_max=config.fee_bps_max,
            order_type=config.order_type,
            whole_cents=account is not None,
        )


def _noted(intent: TradeIntent, quote: Quote | None) -> TradeIntent:
    if quote is None or quote.source != FALLBACK:
        return intent
    return replace(intent, notes=(*intent.notes, Reason.FALLBACK_PRICE))


def _skipped(pair: Pair, skip: Skip, quote: Quote | None = None) -> Decision:
    signal, config = pair
    return Decision(
        config=config,
        signal=signal,
        refusals=skip.refusals,
        intent=skip.intent,
        plan=skip.plan,
        fee_max_micros=Micros(0),
        budgets=(),
        aside_micros=skip.aside_micros,
        quote_source=quote.source if quote else "",
        best_micros=quote.book.best_against(signal.side) if quote else None,
    )
