"""Carries pairs through the two pure decisions: which copies are wanted, and which orders they become."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from copytrading.batches import Pair
from copytrading.decide import Config, OrderFacts, SignalFacts, Skip, decide_copy, plan_order
from copytrading.facts import Gathered
from copytrading.operations.decisions import Decision
from execution.fees import max_fee
from execution.orders import OrderPlan
from execution.ports import Quote
from guardrails.intents import Reason, Refusal, TradeIntent
from ledger.clock import Clock, Ids
from ledger.units import Micros

MS = 1_000

Quotes = Mapping[tuple[int, int], Quote]
"""Books by (signal id, token id): those against the leader trade another token."""

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
    """The second decision: limit, salt, moment and order hash of every wanted copy."""

    def __init__(self, clock: Clock, ids: Ids, *, signer_wallet: str) -> None:
        self._clock, self._ids, self._signer_wallet = clock, ids, signer_wallet

    def plan_all(self, answers: Sequence[Answer], gathered: Gathered, quotes: Quotes) -> list[Decision]:
        """A decision for each answer; a missing quote is no liquidity."""
        timestamp_ms = int(self._clock.now().timestamp() * MS)
        return [self._plan(each, gathered, quotes, timestamp_ms=timestamp_ms) for each in answers]

    def _plan(self, each: Answer, gathered: Gathered, quotes: Quotes, *, timestamp_ms: int) -> Decision:
        (signal, config), answer = each.pair, each.answer
        if isinstance(answer, Skip):
            return _skipped(each.pair, answer)
        market = gathered.market(signal.condition_id).terms
        quote = quotes.get((signal.signal_id, signal.token_id))
        order = OrderFacts(
            book=quote.book if quote else None,
            market=market,
            maker=config.follower_wallet,
            signer=self._signer_wallet,
            signature_type=POLY_PROXY,
            salt=self._ids.salt(),
            timestamp_ms=timestamp_ms,
        )
        planned = plan_order(answer, order, gathered.rule_facts(signal, config), gathered.operator.limits)
        if isinstance(planned, Skip):
            return _skipped(each.pair, planned)
        return Decision(
            config=config,
            signal=signal,
            refusals=(),
            intent=answer,
            plan=planned,
            fee_max_micros=max_fee(planned.size_micros, planned.limit_micros, terms=market.fee),
            budgets=gathered.budgets(signal, config),
        )


def dry_plans(decisions: Sequence[Decision]) -> list[OrderPlan]:
    """The orders of dry runs: planned, refused, and still to be signed to prove that they could be."""
    return [decision.plan for decision in decisions if decision.plan is not None and decision.refusals]


def _skipped(pair: Pair, skip: Skip) -> Decision:
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
    )
