"""The two decisions, whole: which copies are refused for which reasons, and what orders the others become."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from copytrading.decide import CopyFacts, OrderFacts, Planned, Sides, Skip, decide_copy, domain_of, plan_order
from copytrading.sizing import NOTHING_YET, Already, Sizing
from execution.books import Book, Level
from execution.fees import FeeTerms
from execution.orders import ExchangeDomain, OrderPlan, OrderType, order_hash
from execution.preflight import MarketTerms
from execution.pricing import Slippage
from guardrails.intents import Facts, Limits, Reason, Refusal, TradeIntent, Unit
from ledger.units import ONE, Micros, Side, cost_up
from tests.copytrading.test_batches import config, signal
from tests.doors import BEGINNING

BUY, SELL = Side.BUY, Side.SELL
FAY = replace(config(1), terms=replace(config(1).terms, max_trade_micros=100 * ONE))
OPEN_MARKET = MarketTerms(unsaid=())
RULES = Facts(now=BEGINNING)
FACTS = CopyFacts(
    rule_facts=RULES,
    limits=Limits(),
    market=OPEN_MARKET,
    already=NOTHING_YET,
    held_micros=Micros(200 * ONE),
    stale_after_s=60,
)
WALLET = "0x" + "11" * 20


def trade(side: Side = BUY, *, size: int = 1_000, price: int = 500_000, **more: Any) -> Any:
    """Lena's trade of so many shares."""
    shares = Micros(size * ONE)
    return replace(signal(1, side), size_micros=shares, total_size_micros=shares, price_micros=Micros(price), **more)


def reasons(answer: object) -> list[str]:
    """The reasons of a refused copy; none for one that is wanted."""
    return [refusal.reason.value for refusal in answer.refusals] if isinstance(answer, Skip) else []


def wanted(answer: TradeIntent | Skip) -> TradeIntent:
    assert isinstance(answer, TradeIntent), answer
    return answer


def test_a_wanted_copy_says_all_that_an_order_needs() -> None:
    assert decide_copy(trade(), FAY, FACTS) == TradeIntent(
        config_id=1,
        follower_id=101,
        leader_id=1,
        token_id=7,
        condition_id="0xc7",
        side=BUY,
        size_micros=Micros(100 * ONE),
        limit_micros=Micros(510_000),
        cost_micros=Micros(51 * ONE),
        leader_price_micros=Micros(500_000),
        slippage_bps_max=200,
        counts=1,
    )


AGED = {"traded_at": BEGINNING - timedelta(seconds=61)}


@pytest.mark.parametrize(
    ("told", "config_changes", "fact_changes", "expected"),
    [
        ({}, {}, {}, []),
        ({}, {"mode": "EXCHANGE"}, {}, [Refusal(Reason.MODE_UNAVAILABLE)]),
        ({}, {"mode": "PROXY"}, {}, [Refusal(Reason.MODE_UNAVAILABLE)]),
        ({}, {"sides": Sides.SELL}, {}, [Refusal(Reason.SIDE_FILTERED)]),
        ({}, {"sides": Sides.BUY}, {}, []),
        ({"side": SELL}, {"sides": Sides.BUY}, {}, [Refusal(Reason.SIDE_FILTERED)]),
        ({"side": SELL}, {"sides": Sides.SELL}, {}, []),
        (AGED, {}, {}, [Refusal(Reason.STALE_SIGNAL, 61, 60, Unit.SECONDS)]),
        ({"traded_at": BEGINNING - timedelta(seconds=60)}, {}, {}, []),
        ({"traded_at": BEGINNING + timedelta(seconds=5)}, {}, {}, []),
        (AGED, {}, {"stale_after_s": None}, []),
        ({"side": SELL, **AGED}, {}, {}, [Refusal(Reason.STALE_SIGNAL, 61, 60, Unit.SECONDS)]),
        ({}, {"began_at": BEGINNING}, {}, []),
        # The venue's times are whole seconds.
        ({}, {"began_at": BEGINNING + timedelta(milliseconds=999)}, {}, []),
        ({}, {"began_at": BEGINNING + timedelta(seconds=1)}, {}, [Refusal(Reason.BEFORE_FOLLOW)]),
        ({"side": SELL}, {"began_at": BEGINNING + timedelta(seconds=1)}, {}, [Refusal(Reason.BEFORE_FOLLOW)]),
        ({}, {"began_at": BEGINNING + timedelta(days=1)}, {"stale_after_s": None}, []),
        ({"only_config": 1}, {"began_at": BEGINNING + timedelta(seconds=1)}, {}, []),
        (
            {},
            {"min_trigger_micros": 500 * ONE + 1},
            {},
            [Refusal(Reason.BELOW_TRIGGER, 500 * ONE, 500 * ONE + 1, Unit.MONEY)],
        ),
        ({}, {"min_trigger_micros": 500 * ONE}, {}, []),
        ({"side": SELL}, {"min_trigger_micros": 900 * ONE}, {}, []),
        (
            {"price": 920_000},
            {"max_odds_micros": 850_000},
            {},
            [Refusal(Reason.MAX_ODDS, 920_000, 850_000, Unit.PRICE)],
        ),
        ({"price": 850_000}, {"max_odds_micros": 850_000}, {}, []),
        ({"price": 920_000, "side": SELL}, {"max_odds_micros": 850_000}, {}, []),
        ({"price": 4_000}, {}, {}, [Refusal(Reason.PRICE_OUT_OF_RANGE)]),
        ({"price": 996_000, "side": SELL}, {"slippage_bps_max": 0}, {}, [Refusal(Reason.PRICE_OUT_OF_RANGE)]),
        ({"price": 999_000}, {}, {}, []),
        ({}, {}, {"market": replace(OPEN_MARKET, closed=True)}, [Refusal(Reason.MARKET_CLOSED)]),
        ({}, {}, {"market": replace(OPEN_MARKET, accepting_orders=False)}, [Refusal(Reason.MARKET_CLOSED)]),
        ({}, {}, {"market": replace(OPEN_MARKET, version="v9")}, [Refusal(Reason.UNKNOWN_MARKET_VERSION)]),
        ({}, {}, {"market": replace(OPEN_MARKET, version="")}, [Refusal(Reason.UNKNOWN_MARKET_VERSION)]),
        ({}, {}, {"market": replace(OPEN_MARKET, version="v2")}, []),
        ({"size": 30}, {}, {}, [Refusal(Reason.BELOW_MINIMUM, 3 * ONE, 5 * ONE, Unit.SHARES)]),
        ({"side": SELL}, {}, {"held_micros": Micros(0)}, [Refusal(Reason.NOTHING_TO_SELL)]),
        ({}, {}, {"rule_facts": replace(RULES, leader_paused=True)}, [Refusal(Reason.LEADER_PAUSED)]),
        (
            {},
            {},
            {"limits": Limits(max_per_trade_micros=Micros(50 * ONE))},
            [Refusal(Reason.MAX_PER_TRADE, 51 * ONE, 50 * ONE, Unit.MONEY)],
        ),
        ({}, {}, {"rule_facts": replace(RULES, dry_run=True)}, []),
    ],
)
def test_a_copy_is_refused_for_what_is_wrong_with_it(
    told: dict[str, Any], config_changes: dict[str, Any], fact_changes: dict[str, Any], expected: list[Refusal]
) -> None:
    answer = decide_copy(trade(**told), replace(FAY, **config_changes), replace(FACTS, **fact_changes))
    assert list(answer.refusals if isinstance(answer, Skip) else ()) == expected


def test_filters_size_and_rules_all_say_their_reasons() -> None:
    picky = replace(FAY, mode="PROXY", sides=Sides.SELL, max_odds_micros=400_000, min_trigger_micros=900 * ONE)
    paused = replace(FACTS, rule_facts=replace(RULES, global_pause=True, follower_allowed=False))
    filters = ["MODE_UNAVAILABLE", "SIDE_FILTERED", "BELOW_TRIGGER", "MAX_ODDS"]
    assert reasons(decide_copy(trade(), picky, paused)) == [*filters, "GLOBAL_PAUSE", "NOT_ALLOWED"]
    assert reasons(decide_copy(trade(size=30), picky, paused)) == [*filters, "BELOW_MINIMUM"]


def test_a_refused_copy_keeps_the_size_it_would_have_had() -> None:
    answer = decide_copy(trade(), replace(FAY, sides=Sides.SELL), FACTS)
    assert isinstance(answer, Skip)
    assert answer.intent is not None and answer.intent.size_micros == 100 * ONE


FIRST_PART = Already(size_micros=Micros(100 * ONE), cost_micros=Micros(51 * ONE), counted=True)


@pytest.mark.parametrize(("counted", "counts"), [(True, 0), (False, 1)])
def test_a_later_part_counts_only_when_no_earlier_one_does(counted: bool, counts: int) -> None:
    later = replace(trade(part=2), total_size_micros=Micros(2_000 * ONE))
    already = Already(size_micros=Micros(100 * ONE), cost_micros=Micros(51 * ONE), counted=counted)
    intent = wanted(decide_copy(later, FAY, replace(FACTS, already=already)))
    assert (intent.counts, intent.size_micros) == (counts, 96_070_000)


def test_a_sell_without_the_leaders_holding_is_noted() -> None:
    assert wanted(decide_copy(trade(SELL), FAY, FACTS)).notes == (Reason.LEADER_POSITION_UNKNOWN,)
    known = trade(SELL, leader_held_micros=Micros(2_000 * ONE))
    assert wanted(decide_copy(known, FAY, FACTS)).notes == ()


@pytest.mark.parametrize(
    ("version", "neg_risk", "domain"),
    [
        ("v1", False, ExchangeDomain.CTF_V2),
        ("v1", True, ExchangeDomain.NEG_RISK_V2),
        ("v2", False, ExchangeDomain.V3),
        ("v2", True, ExchangeDomain.V3),
    ],
)
def test_the_exchange_follows_from_the_markets_version(version: str, neg_risk: bool, domain: ExchangeDomain) -> None:
    assert domain_of(replace(OPEN_MARKET, version=version, neg_risk=neg_risk)) is domain


def book(bid: int, ask: int) -> Book:
    """One level on each side; 0 is none."""
    levels = [(Level(Micros(price), Micros(ONE)),) if price else () for price in (bid, ask)]
    return Book(token_id=7, bids=levels[0], asks=levels[1], version="b1")


def order(**changes: Any) -> OrderFacts:
    usual = OrderFacts(
        book=book(500_000, 500_000),
        market=OPEN_MARKET,
        maker=FAY.follower_wallet,
        signer=WALLET,
        signature_type=1,
        salt=1,
        timestamp_ms=1_795_262_400_000,
    )
    return replace(usual, **changes)


INTENT = wanted(decide_copy(trade(), FAY, FACTS))
SALE = wanted(decide_copy(trade(SELL, leader_held_micros=Micros(2_000 * ONE)), FAY, FACTS))


def planned(intent: TradeIntent = INTENT, facts: Facts = RULES, **changes: Any) -> Planned | Skip:
    return plan_order(intent, order(**changes), facts, Limits())


def plan(intent: TradeIntent = INTENT, facts: Facts = RULES, **changes: Any) -> OrderPlan | Skip:
    answer = planned(intent, facts, **changes)
    return answer.plan if isinstance(answer, Planned) else answer


@pytest.mark.parametrize(
    ("intent", "changes", "expected"),
    [
        (INTENT, {"book": None}, Refusal(Reason.NO_LIQUIDITY)),
        (INTENT, {"book": book(500_000, 0)}, Refusal(Reason.NO_LIQUIDITY)),
        (INTENT, {"book": book(0, 510_000)}, None),
        (INTENT, {"book": book(0, 530_000)}, Refusal(Reason.PRICE_DEVIATION, 600, 200, Unit.BPS)),
        (INTENT, {"book": book(0, 510_001)}, Refusal(Reason.PRICE_DEVIATION, 201, 200, Unit.BPS)),
        (INTENT, {"book": book(0, 300_000)}, None),
        (SALE, {"book": book(490_000, 0)}, None),
        (SALE, {"book": book(480_000, 0)}, Refusal(Reason.PRICE_DEVIATION, 400, 200, Unit.BPS)),
        (SALE, {"book": book(0, 500_000)}, Refusal(Reason.NO_LIQUIDITY)),
        (
            INTENT,
            {"market": replace(OPEN_MARKET, tick_micros=Micros(100_000))},
            Refusal(Reason.PRICE_OUT_OF_RANGE, 510_000, 100_000, Unit.PRICE),
        ),
        (INTENT, {"maker": "nobody"}, Refusal(Reason.ORDER_IMPOSSIBLE)),
        (INTENT, {"salt": 1 << 53}, Refusal(Reason.ORDER_IMPOSSIBLE)),
        (replace(INTENT, size_micros=Micros(1)), {}, Refusal(Reason.ORDER_IMPOSSIBLE)),
        (replace(INTENT, token_id=1 << 256), {}, Refusal(Reason.ORDER_IMPOSSIBLE)),
    ],
)
def test_a_price_or_an_order_that_cannot_be_is_refused(
    intent: TradeIntent, changes: dict[str, Any], expected: Refusal | None
) -> None:
    answer = plan(intent, **changes)
    assert (answer.refusals if isinstance(answer, Skip) else ()) == ((expected,) if expected else ())
    assert not isinstance(answer, Skip) or answer.intent == intent


def test_a_plan_is_the_whole_order_with_its_hash() -> None:
    answer = plan()
    assert isinstance(answer, OrderPlan)
    assert (answer.maker_amount, answer.taker_amount) == (51 * ONE, 100 * ONE)
    assert (answer.order_type, answer.domain, answer.book_version) == (OrderType.FAK, ExchangeDomain.CTF_V2, "b1")
    assert answer.order_hash == order_hash(answer)
    assert plan() == answer


@pytest.mark.parametrize("changes", [{"salt": 2}, {"timestamp_ms": 1_795_262_400_001}, {"maker": WALLET}])
def test_whatever_makes_an_order_changes_its_hash(changes: dict[str, Any]) -> None:
    one, other = plan(), plan(**changes)
    assert isinstance(one, OrderPlan) and isinstance(other, OrderPlan)
    assert one.order_hash != other.order_hash


def test_a_dry_run_is_planned_and_then_refused() -> None:
    answer = plan(facts=replace(RULES, dry_run=True))
    assert isinstance(answer, Skip)
    assert (reasons(answer), answer.plan, answer.intent) == (["DRY_RUN"], plan(), INTENT)


prices = st.integers(1, ONE - 1)


@given(prices, st.integers(10, 10**6), st.integers(0, 9_999), st.sampled_from(Sizing), st.sampled_from([10_000, 1_000]))
def test_an_order_never_spends_more_than_the_cap_nor_pays_worse_than_the_bound(
    price: int, shares: int, slippage: int, sizing: Sizing, tick: int
) -> None:
    money = {"amount_micros": 40 * ONE, "floor_micros": ONE, "cap_micros": 90 * ONE}
    other = {"shares_micros": 70 * ONE, "tiers": ((0, 2_000), (100 * ONE, 1_000))}
    terms = replace(FAY.terms, sizing=sizing, **money, **other)
    greedy = replace(FAY, slippage_bps_max=slippage, terms=terms, leader_bankroll_micros=1_000 * ONE)
    market = replace(OPEN_MARKET, tick_micros=Micros(tick))
    facts = replace(FACTS, market=market, bankroll_micros=500 * ONE)
    answer = decide_copy(trade(size=shares, price=price), greedy, facts)
    assume(isinstance(answer, TradeIntent))
    intent = wanted(answer)
    ordered = plan(intent, market=market, book=book(0, intent.limit_micros))
    assert intent.limit_micros * 10_000 <= price * (10_000 + slippage)
    assert intent.cost_micros == cost_up(intent.size_micros, intent.limit_micros) <= 100 * ONE
    assert isinstance(ordered, OrderPlan)
    assert ordered.maker_amount <= intent.cost_micros


@given(prices, st.integers(1, 10**6), st.integers(0, 10**12), st.none() | st.integers(0, 10**13))
def test_a_sell_never_leaves_less_than_nothing(price: int, shares: int, held: int, leader_held: int | None) -> None:
    known = None if leader_held is None else Micros(leader_held)
    facts = replace(FACTS, held_micros=Micros(held))
    answer = decide_copy(trade(SELL, size=shares, price=price, leader_held_micros=known), FAY, facts)
    assert reasons(answer) or wanted(answer).size_micros <= held


def deep(*asks: tuple[int, int]) -> Book:
    """A book of (cents, shares) that are asked."""
    found = tuple(Level(Micros(cents * 10_000), Micros(shares * ONE)) for cents, shares in asks)
    return Book(token_id=7, bids=(), asks=found, version="b2")


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ((), Refusal(Reason.NO_LIQUIDITY)),
        ((Level(Micros(530_000), Micros(ONE)),), Refusal(Reason.PRICE_DEVIATION, 600, 200, Unit.BPS)),
        ((Level(Micros(510_000), Micros(ONE)),), None),
    ],
)
def test_an_order_sees_only_what_the_ones_before_have_left(left: tuple[Level, ...], expected: Refusal | None) -> None:
    answer = planned(left=left)
    assert (answer.refusals if isinstance(answer, Skip) else ()) == ((expected,) if expected else ())


def test_an_order_takes_what_it_would_match_within_its_limit() -> None:
    answer = planned(book=deep((50, 30), (51, 40), (52, 900)))
    assert isinstance(answer, Planned)
    assert (answer.takes_micros, answer.plan.size_micros) == (70 * ONE, 100 * ONE)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [(99, Refusal(Reason.NO_LIQUIDITY, 99 * ONE, 100 * ONE, Unit.SHARES)), (100, None)],
)
def test_a_fok_order_that_the_book_would_kill_is_not_sent(shares: int, expected: Refusal | None) -> None:
    answer = planned(book=deep((50, shares)), order_type=OrderType.FOK)
    assert (answer.refusals if isinstance(answer, Skip) else ()) == ((expected,) if expected else ())
    assert isinstance(answer, Skip) or answer.plan.order_type is OrderType.FOK


def test_an_auto_order_is_reserved_for_at_its_own_limit() -> None:
    wide = replace(INTENT, slippage_bps_max=1_000, limit_micros=Micros(550_000), cost_micros=Micros(55 * ONE))
    answer = planned(wide, book=deep((50, 100)), slippage=Slippage.AUTO)
    assert isinstance(answer, Planned)
    assert (answer.plan.limit_micros, answer.intent.limit_micros) == (510_000, 510_000)
    assert (answer.intent.cost_micros, answer.plan.maker_amount) == (51 * ONE, 51 * ONE)


def test_a_fee_guards_what_is_bought_and_locks_in_nothing() -> None:
    taxed = replace(OPEN_MARKET, fee=FeeTerms(rate_bps=700))
    refused = planned(market=taxed, fee_bps_max=300)
    assert isinstance(refused, Skip)
    assert refused.refusals == (Refusal(Reason.FEE_TOO_HIGH, 350, 300, Unit.BPS),)
    assert isinstance(planned(SALE, market=taxed, fee_bps_max=300), Planned)
    assert isinstance(planned(market=taxed), Planned)
