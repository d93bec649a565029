"""One follower's answer to one signal, ready to be written."""

from dataclasses import dataclass
from datetime import datetime

from copytrading.decide import Config, SignalFacts
from execution.orders import OrderPlan
from guardrails.budgets import Bound, BudgetKey
from guardrails.intents import Reason, Refusal, TradeIntent
from ledger.units import Micros

NOTHING = Micros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Why a copy that is wanted cannot be sent yet, until when at most it waits, and when to look again."""

    why: Reason
    until: datetime
    again_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One follower's answer to one signal, to be written.

    `plan` is the order of a copy to send, or of a dry run when there are refusals too; `budgets` are the
    bounded budgets that a buy takes from; `fee_max_micros` is the largest fee the order can cost;
    `aside_micros` of a copy under the minimum wait for the next one. `quote_source` and `best_micros` are of the book
    that it was held against, and of the side that it would meet. One that `waits` has no plan and is READY; `waited`
    says what a copy has waited for before.
    """

    config: Config
    signal: SignalFacts
    refusals: tuple[Refusal, ...]
    intent: TradeIntent | None
    plan: OrderPlan | None
    fee_max_micros: Micros
    budgets: tuple[tuple[BudgetKey, Bound], ...]
    aside_micros: Micros = NOTHING
    quote_source: str = ""
    best_micros: Micros | None = None
    waits: Waits | None = None
    waited: tuple[Reason, ...] = ()
