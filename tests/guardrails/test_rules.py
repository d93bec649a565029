"""Each guardrail refuses what it is for and nothing else, and no refusal hides another."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.intents import Facts, Limits, Reason, Refusal, TradeIntent, Unit, Verdict
from guardrails.rules import AFTER_PLAN, BEFORE_PLAN, PAUSES, Rule, evaluate, max_per_trade
from ledger.units import ONE, Micros, Side
from tests.doors import BEGINNING

FINE = Facts(now=BEGINNING)
BUY = TradeIntent(
    config_id=1,
    follower_id=2,
    leader_id=3,
    token_id=4,
    condition_id="0x" + "c0" * 32,
    side=Side.BUY,
    size_micros=Micros(100 * ONE),
    limit_micros=Micros(510_000),
    cost_micros=Micros(51 * ONE),
    leader_price_micros=Micros(500_000),
    slippage_bps_max=200,
    counts=1,
)
SELL = replace(BUY, side=Side.SELL)
EVERY_RULE = (*BEFORE_PLAN, *AFTER_PLAN)

TROUBLES = {
    "global_pause": (replace(FINE, global_pause=True), Reason.GLOBAL_PAUSE),
    "follower_pause": (replace(FINE, follower_paused=True), Reason.FOLLOWER_PAUSED),
    "leader_pause": (replace(FINE, leader_paused=True), Reason.LEADER_PAUSED),
    "market_pause": (replace(FINE, market_paused=True), Reason.MARKET_PAUSED),
    "breaker": (replace(FINE, breaker_open=True), Reason.BREAKER_OPEN),
    "allowlist": (replace(FINE, follower_allowed=False), Reason.NOT_ALLOWED),
    "dry_run": (replace(FINE, dry_run=True), Reason.DRY_RUN),
}
"""For each rule that looks at facts alone: the fact that troubles it, and its reason."""


def test_every_rule_stands_in_a_table_here() -> None:
    assert {rule.__name__ for rule in EVERY_RULE} == {*TROUBLES, "max_per_trade"}


@pytest.mark.parametrize("intent", [BUY, SELL], ids=["buy", "sell"])
@pytest.mark.parametrize("name", TROUBLES)
def test_a_fact_is_refused_by_its_own_rule_and_by_no_other(name: str, intent: TradeIntent) -> None:
    facts, reason = TROUBLES[name]
    answers = {rule.__name__: rule(intent, facts, Limits()) for rule in EVERY_RULE}
    assert answers.pop(name) == Refusal(reason)
    assert set(answers.values()) == {None}


@pytest.mark.parametrize("intent", [BUY, SELL], ids=["buy", "sell"])
def test_nothing_is_refused_when_nothing_is_wrong(intent: TradeIntent) -> None:
    assert evaluate(EVERY_RULE, intent, FINE, Limits()) == Verdict()
    assert evaluate(EVERY_RULE, intent, FINE, Limits()).allowed


@pytest.mark.parametrize(
    ("intent", "bound", "refused"),
    [
        (BUY, 51 * ONE - 1, True),
        (BUY, 51 * ONE, False),
        (BUY, None, False),
        (BUY, 0, True),
        (SELL, 1, False),
    ],
)
def test_a_buy_above_the_operators_bound_is_refused_with_value_and_limit(
    intent: TradeIntent, bound: int | None, refused: bool
) -> None:
    limits = Limits(max_per_trade_micros=None if bound is None else Micros(bound))
    expected = Refusal(Reason.MAX_PER_TRADE, 51 * ONE, bound, Unit.MONEY) if refused else None
    assert max_per_trade(intent, FINE, limits) == expected


def test_pauses_come_first_and_the_dry_run_last() -> None:
    assert BEFORE_PLAN[: len(PAUSES)] == PAUSES
    assert [rule.__name__ for rule in AFTER_PLAN] == ["dry_run"]


@given(st.tuples(*[st.booleans()] * 7))
def test_every_refusal_is_kept_in_the_order_of_the_rules(wrong: tuple[bool, ...]) -> None:
    one, follower, leader, market, breaker, stranger, dry = wrong
    facts = Facts(
        now=BEGINNING,
        global_pause=one,
        follower_paused=follower,
        leader_paused=leader,
        market_paused=market,
        breaker_open=breaker,
        follower_allowed=not stranger,
        dry_run=dry,
    )
    verdict = evaluate(EVERY_RULE, BUY, facts, Limits())
    reasons = [reason for (_facts, reason), is_wrong in zip(TROUBLES.values(), wrong, strict=True) if is_wrong]
    assert [refusal.reason for refusal in verdict.refusals] == reasons
    assert verdict.allowed is not any(wrong)


@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda rule: rule.__name__)
def test_a_rule_says_what_it_protects(rule: Rule) -> None:
    assert (rule.__doc__ or "").endswith(".")


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        (Refusal(Reason.DRY_RUN), "DRY_RUN"),
        (Refusal(Reason.MAX_PER_TRADE, 51 * ONE, 50 * ONE, Unit.MONEY), "MAX_PER_TRADE (value $51, limit $50)"),
        (Refusal(Reason.BELOW_MINIMUM, 3 * ONE, 5 * ONE, Unit.SHARES), "BELOW_MINIMUM (value 3, limit 5)"),
        (Refusal(Reason.MAX_ODDS, 920_000, 850_000, Unit.PRICE), "MAX_ODDS (value 0.92, limit 0.85)"),
        (Refusal(Reason.PRICE_DEVIATION, 600, 200, Unit.BPS), "PRICE_DEVIATION (value 600, limit 200)"),
        (Refusal(Reason.STALE_SIGNAL, 61, None, Unit.SECONDS), "STALE_SIGNAL (value 61, limit none)"),
    ],
)
def test_a_refusal_reads_as_people_write_amounts(refusal: Refusal, text: str) -> None:
    assert str(refusal) == text
