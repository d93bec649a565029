from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.signals import ActionKind
from copytrading.sources.chain_actions import Found, actions_of, fill_price
from copytrading.sources.chain_filters import filters_for
from execution.chain_events import read_log
from ledger.units import ONE, AmountError, Micros, Side
from tests.chain_bytes import (
    CONDITION,
    LENA,
    NO,
    OTTO,
    POLYGON_CONTRACTS,
    STRANGER,
    YES,
    ZERO,
    JsonLog,
    converted,
    filled,
    hash_of,
    moved,
    placed,
    redeemed,
    split,
    topic,
)

ADAPTER = POLYGON_CONTRACTS.ctf_collateral_adapter
NEG_RISK = POLYGON_CONTRACTS.neg_risk_adapter
REDEEMER = POLYGON_CONTRACTS.auto_redeemer
TRADE, TRANSFER, SPLIT = ActionKind.TRADE, ActionKind.TRANSFER, ActionKind.SPLIT
MERGE, REDEEM, CONVERSION = ActionKind.MERGE, ActionKind.REDEEM, ActionKind.CONVERSION


def found(logs: Sequence[JsonLog], *, whole: bool = True, leaders: Sequence[str] = (LENA,)) -> Found:
    return actions_of([read_log(each) for each in placed(list(logs))], leaders, POLYGON_CONTRACTS, whole=whole)


def told(logs: Sequence[JsonLog], **more: Any) -> list[tuple[Any, ...]]:
    """(kind, condition or the token that names it, token, side, size) of each action."""
    return [
        (each.kind, each.condition_id or each.named_by, each.token_id, each.side, each.size_micros)
        for each in found(logs, **more).drafts
    ]


@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize("exchange", POLYGON_CONTRACTS.filling_exchanges)
def test_a_fill_of_a_leader_is_a_trade_on_every_exchange(side: str, exchange: str) -> None:
    logs = [filled(side=side, shares=100 * ONE, cash=33 * ONE, exchange=exchange)]
    assert told(logs) == [(TRADE, YES, YES, side, 100 * ONE)]
    assert found(logs).drafts[0].price_micros == 330_000


def test_fills_of_one_transaction_stay_separate_and_add_up_later() -> None:
    fill = filled(shares=10 * ONE, cash=5 * ONE)
    assert told([fill, fill]) == [(TRADE, YES, YES, "BUY", 10 * ONE)] * 2


@pytest.mark.parametrize(
    "logs",
    [
        [filled(maker=STRANGER, taker=LENA)],  # the taker has a log of its own
        [filled(exchange=STRANGER)],  # anybody may emit anything
        [filled(exchange=POLYGON_CONTRACTS.conditional_tokens)],
        [moved(STRANGER, OTTO, amounts={YES: 5})],
        [moved(LENA, LENA, amounts={YES: 5})],
        [moved(LENA, STRANGER, amounts={YES: 0})],
        [{**moved(LENA, STRANGER, amounts={YES: 5}), "address": STRANGER}],
    ],
)
def test_what_is_no_act_of_a_leader_is_nothing(logs: list[JsonLog]) -> None:
    assert told(logs) == []


@pytest.mark.parametrize("exchange", sorted(POLYGON_CONTRACTS.exchanges))
def test_transfers_that_an_exchange_operates_are_the_trade_already(exchange: str) -> None:
    direct = moved(STRANGER, LENA, operator=exchange, amounts={YES: 5})
    two_hops = moved(exchange, LENA, operator=exchange, amounts={YES: 5})
    assert told([direct, two_hops]) == []


def test_a_gift_is_a_transfer_of_each_leader_that_it_touches() -> None:
    logs = [moved(LENA, OTTO, amounts={YES: 5, NO: 6}, batch=True)]
    assert told(logs, leaders=[LENA, OTTO]) == [
        (TRANSFER, YES, YES, Side.SELL, 5),
        (TRANSFER, NO, NO, Side.SELL, 6),
        (TRANSFER, YES, YES, Side.BUY, 5),
        (TRANSFER, NO, NO, Side.BUY, 6),
    ]


def test_tokens_of_a_trade_that_moved_some_other_way_are_not_moved_twice() -> None:
    logs = [moved(STRANGER, LENA, amounts={YES: 1_000 * ONE}), filled()]
    assert told(logs) == [(TRADE, YES, YES, Side.BUY, 1_000 * ONE)]


def minted(who: str, amount: int, *, operator: str = "") -> JsonLog:
    return moved(ZERO, who, operator=operator or who, amounts={YES: amount, NO: amount}, batch=True)


def burned(who: str, amount: int) -> JsonLog:
    return moved(who, ZERO, amounts={YES: amount, NO: amount}, batch=True)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("logs", "actions"),
    [
        ([minted(LENA, 7), split(LENA, 7)], [(SPLIT, CONDITION, None, None, 7)]),
        ([burned(LENA, 7), split(LENA, 7, merge=True)], [(MERGE, CONDITION, None, None, 7)]),
        (
            [moved(LENA, ZERO, amounts={YES: 4}), moved(LENA, ZERO, amounts={NO: 3}), redeemed(LENA, 4)],
            [(REDEEM, CONDITION, YES, None, 4), (REDEEM, CONDITION, NO, None, 3)],
        ),
        ([redeemed(LENA, 0)], []),
    ],
)
def test_what_a_leader_does_at_the_ledger_itself_needs_no_receipt(
    logs: list[JsonLog], actions: list[Any], whole: bool
) -> None:
    assert told(logs, whole=whole) == actions


THROUGH = {
    "split": (
        [minted(ADAPTER, 7), split(ADAPTER, 7), moved(ADAPTER, LENA, amounts={YES: 7, NO: 7}, batch=True)],
        [(SPLIT, CONDITION, None, None, 7)],
    ),
    "merge": (
        [
            moved(LENA, ADAPTER, operator=ADAPTER, amounts={YES: 7, NO: 7}, batch=True),
            burned(ADAPTER, 7),
            split(ADAPTER, 7, merge=True),
        ],
        [(MERGE, CONDITION, None, None, 7)],
    ),
    "redeem": (
        [
            moved(LENA, ADAPTER, operator=ADAPTER, amounts={YES: 4, NO: 3}, batch=True),
            moved(ADAPTER, ZERO, amounts={YES: 4}),
            moved(ADAPTER, ZERO, amounts={NO: 3}),
            redeemed(ADAPTER, 4),
        ],
        [(REDEEM, CONDITION, YES, None, 4), (REDEEM, CONDITION, NO, None, 3)],
    ),
    "redeemed for the leader": (
        [
            moved(LENA, REDEEMER, operator=REDEEMER, amounts={YES: 4}),
            moved(REDEEMER, ADAPTER, amounts={YES: 4}),
            moved(ADAPTER, ZERO, amounts={YES: 4}),
            redeemed(ADAPTER, 4),
        ],
        [(REDEEM, CONDITION, YES, None, 4)],
    ),
    "conversion": (
        [
            moved(LENA, STRANGER, operator=NEG_RISK, amounts={NO: 5}),
            minted(NEG_RISK, 5),
            split(NEG_RISK, 5),
            moved(NEG_RISK, LENA, amounts={9001: 5}),
            converted(LENA, 5),
        ],
        [(CONVERSION, NO, NO, None, 5), (CONVERSION, 9_001, 9_001, None, 5)],
    ),
    "nobody can follow it": (
        [moved(LENA, POLYGON_CONTRACTS.router, amounts={YES: 5})],
        [(CONVERSION, YES, YES, None, 5)],
    ),
}


@pytest.mark.parametrize("name", THROUGH)
def test_what_a_leader_does_through_an_adapter_is_told_by_the_receipt(name: str) -> None:
    logs, actions = THROUGH[name]
    assert told(logs) == actions


@pytest.mark.parametrize("name", THROUGH)
def test_the_logs_that_name_the_leader_only_ask_for_the_receipt(name: str) -> None:
    of_lena = [each for each in THROUGH[name][0] if topic(LENA) in each["topics"]]
    partial = found(of_lena, whole=False)
    assert (partial.needs_receipt, partial.drafts) == (True, ())


def test_a_conversion_of_which_no_token_moved_names_the_market() -> None:
    assert told([converted(LENA, 5)]) == [(CONVERSION, hash_of(0xBB), None, None, 5)]


def test_somebody_elses_split_in_the_same_transaction_is_not_the_leaders() -> None:
    logs = [minted(ADAPTER, 7), split(ADAPTER, 7), moved(ADAPTER, OTTO, amounts={YES: 7, NO: 7}, batch=True)]
    assert told([*logs, moved(LENA, STRANGER, amounts={YES: 1})]) == [(TRANSFER, YES, YES, Side.SELL, 1)]


def test_a_split_of_foreign_money_is_refused_in_a_sentence() -> None:
    refused = found([minted(LENA, 7), split(LENA, 7, collateral=STRANGER)])
    assert refused.drafts == ()
    assert "is not the venue's" in refused.refused[0]


@pytest.mark.parametrize(
    ("shares", "cash"),
    [(0, 5), (5, 0), (ONE, ONE), (ONE, 2 * ONE), (10**7, 1), (10**19, 10**18), (2 * 10**6, 2 * 10**6 - 1)],
)
def test_a_fill_without_a_price_inside_zero_and_one_is_refused_in_a_sentence(shares: int, cash: int) -> None:
    refused = found([filled(shares=shares, cash=cash), filled(shares=10 * ONE, cash=4 * ONE)])
    assert len(refused.refused) == 1
    assert [each.size_micros for each in refused.drafts] == [10 * ONE], "the others of the transaction stay"


@pytest.mark.parametrize(
    ("shares", "cash", "price"),
    [
        (3 * ONE, ONE, 333_333),
        (3 * ONE, 2 * ONE, 666_667),
        (8 * ONE, 1_000_004, 125_000),
        (8 * ONE, 1_000_012, 125_002),
    ],
)
def test_a_price_is_rounded_half_to_even(shares: int, cash: int, price: int) -> None:
    assert fill_price(shares, cash) == price


@given(shares=st.integers(1, 10**18), price=st.integers(1, ONE - 1))
def test_a_price_is_never_off_by_more_than_half_a_micro(shares: int, price: int) -> None:
    cash = shares * price // ONE
    try:
        found_price = fill_price(shares, cash)
    except AmountError:
        return
    assert 2 * abs(found_price * shares - cash * ONE) <= shares
    assert isinstance(Micros(found_price), int)


def matches(raw: JsonLog, wanted: Any) -> bool:
    """As a node matches a filter."""
    topics = raw["topics"]
    alternatives = [each if isinstance(each, list) else [each] for each in wanted["topics"]]
    return raw["address"] in wanted["address"] and all(
        each == [None] or (index < len(topics) and topics[index] in each) for index, each in enumerate(alternatives)
    )


ACTS = [
    filled(),
    moved(LENA, STRANGER, amounts={YES: 1}),
    moved(STRANGER, LENA, amounts={YES: 1}, batch=True),
    split(LENA, 1),
    split(LENA, 1, merge=True),
    redeemed(LENA, 1),
    converted(LENA, 1),
]


@pytest.mark.parametrize("act", ACTS, ids=range(len(ACTS)))
@pytest.mark.parametrize("wallets_max", [0, 10])
def test_the_filters_let_through_every_act_of_a_leader(act: JsonLog, wallets_max: int) -> None:
    filters = filters_for([OTTO, LENA], POLYGON_CONTRACTS, wallets_max=wallets_max)
    assert any(matches(act, each) for each in filters)


@pytest.mark.parametrize("act", ACTS, ids=range(len(ACTS)))
def test_the_filters_of_few_wallets_keep_strangers_out(act: JsonLog) -> None:
    assert not any(matches(act, each) for each in filters_for([OTTO], POLYGON_CONTRACTS, wallets_max=10))


def test_nobody_to_hear_means_nothing_to_ask_for() -> None:
    assert filters_for([], POLYGON_CONTRACTS, wallets_max=10) == ()
