"""One follower's answer to one signal, ready to be written."""

from dataclasses import dataclass

from copytrading.decide import Config, SignalFacts
from execution.orders import OrderPlan
from guardrails.budgets import Bound, BudgetKey
from guardrails.intents import Refusal, TradeIntent
from ledger.units import Micros

NOTHING = Micros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One follower's answer to one signal, to be written.

    `plan` is the order of a copy to send, or of a dry run when there are refusals too; `budgets` are the
    bounded budgets that a buy takes from; `fee_max_micros` is the largest fee the order can cost;
    `aside_micros` of a copy under the minimum wait for the next one.
    """

    config: Config
    signal: SignalFacts
    refusals: tuple[Refusal, ...]
    intent: TradeIntent | None
    plan: OrderPlan | None
    fee_max_micros: Micros
    budgets: tuple[tuple[BudgetKey, Bound], ...]
    aside_micros: Micros = NOTHING
