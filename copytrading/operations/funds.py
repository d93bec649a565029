"""What a batch of decisions draws on: budgets, cash, shares and carried sizes, granted on locked rows."""

from collections.abc import Sequence

from copytrading.decide import Config
from copytrading.models import CopyTrade
from copytrading.operations.carries import Carries, CarryKey
from copytrading.operations.decisions import Decision
from copytrading.queries import MarketKey, exposures
from copytrading.sizing import BelowMinimum
from execution.operations import Held, PositionKey, lock_positions, write_positions
from execution.orders import OrderPlan
from guardrails.budgets import BudgetKey, Spent, Wish, refusals, take
from guardrails.intents import Reason, Refusal, TradeIntent, Unit
from guardrails.operations import lock_budgets, write_budgets
from ledger.operations import Cash, lock_cash, write_cash
from ledger.units import Side


class Funds:
    """What a batch draws on, locked in one fixed order: positions, cash, carried sizes, budgets.

    The rows that most others want come last and are held for the shortest time. Who holds a follower's cash row
    is alone in granting it buys, so that its exposure can be read then.
    """

    def __init__(self, decisions: Sequence[Decision]) -> None:
        sendable = [d for d in decisions if d.plan is not None and not d.refusals]
        buys = [d for d in sendable if d.plan and d.plan.side is Side.BUY]
        sells = [d for d in sendable if d.plan and d.plan.side is Side.SELL]
        self._held: dict[PositionKey, Held] = lock_positions((d.config.follower_id, d.signal.token_id) for d in sells)
        self._cash: dict[int, Cash] = lock_cash(d.config.follower_id for d in buys)
        self._touched: set[int] = set()
        self._exposed: dict[MarketKey, int] = exposures(
            _market_key(d) for d in buys if d.config.max_per_market_micros is not None
        )
        self._carries = Carries(_carry_key(d) for d in decisions if _carries(d.config))
        self._spent: dict[BudgetKey, Spent] = lock_budgets(key for d in buys for key, _bound in d.budgets)
        self._spent_before = dict(self._spent)

    def grant(self, decision: Decision) -> tuple[Refusal, ...]:
        """Reserve what a copy needs, or say every reason why not."""
        if decision.plan is None or decision.intent is None or decision.refusals:
            return ()
        waiting = self._carries.waiting(_carry_key(decision), decision.plan.side)
        if decision.intent.taken_micros > waiting:
            # Another engine bought it since it was read.
            return (Refusal(Reason.ALREADY_COPIED, decision.intent.taken_micros, waiting, Unit.SHARES),)
        if decision.plan.side is Side.SELL:
            return self._grant_sell(decision, decision.plan)
        return self._grant_buy(decision, decision.intent)

    def carry_all(self, rows: Sequence[CopyTrade], decisions: Sequence[Decision]) -> None:
        """Put aside or take what these rows say."""
        for row, decision in zip(rows, decisions, strict=True):
            if _carries(decision.config):
                self._carries.add(_carry_key(decision), Side(row.side), row.carried_micros)

    def save(self) -> None:
        """Write back what was taken."""
        self._carries.save()
        write_budgets(self._spent_before, self._spent)
        write_cash({key: cash for key, cash in self._cash.items() if key in self._touched})
        write_positions(self._held)

    def _grant_buy(self, decision: Decision, intent: TradeIntent) -> tuple[Refusal, ...]:
        wish = _wish(decision, intent)
        refused = list(refusals(wish, self._spent))
        cash = self._cash.get(decision.config.follower_id, Cash(0, 0))
        needed = intent.cost_micros + decision.fee_max_micros
        if needed > cash.free_micros:
            refused.append(Refusal(Reason.NOT_ENOUGH_CASH, needed, cash.free_micros, Unit.MONEY))
        market, bound = _market_key(decision), decision.config.max_per_market_micros
        exposed = self._exposed.get(market, 0)
        if bound is not None and exposed + intent.cost_micros > bound:
            refused.append(Refusal(Reason.MAX_PER_MARKET, exposed + intent.cost_micros, bound, Unit.MONEY))
        if not refused:
            take(wish, self._spent)
            self._exposed[market] = exposed + needed
            cash.reserved_micros += needed
            self._touched.add(decision.config.follower_id)
        return tuple(refused)

    def _grant_sell(self, decision: Decision, plan: OrderPlan) -> tuple[Refusal, ...]:
        held = self._held.get((decision.config.follower_id, plan.token_id), Held(decision.signal.condition_id))
        if plan.size_micros > held.free_micros:
            return (Refusal(Reason.NOTHING_TO_SELL, plan.size_micros, held.free_micros, Unit.SHARES),)
        held.reserved_micros += plan.size_micros
        return ()


def _market_key(decision: Decision) -> MarketKey:
    return (decision.config.follower_id, decision.signal.condition_id)


def _carry_key(decision: Decision) -> CarryKey:
    return (decision.config.config_id, decision.signal.token_id)


def _carries(config: Config) -> bool:
    return config.terms.below_minimum is BelowMinimum.ACCUMULATE


def _wish(decision: Decision, intent: TradeIntent) -> Wish:
    return Wish(cost_micros=intent.cost_micros, counts=intent.counts, budgets=decision.budgets)
