"""What decisions see of an account: who may trade, what it can pay, and what it can sell."""

from dataclasses import replace
from datetime import timedelta

import pytest

from execution.accounts import AccountFacts, Standing, buy_refusals, sellable, spendable, standing_refusals
from execution.orders import ExchangeDomain
from guardrails.intents import Reason
from ledger.units import ONE
from tests.doors import BEGINNING

V3 = ExchangeDomain.V3
WALLET, KEY = "0x" + "aa" * 20, "0x" + "bb" * 20
FACTS = AccountFacts(follower_id=1, wallet=WALLET, signer=KEY, available_micros=10 * ONE, allowances={V3: 100 * ONE})
WELL = Standing(stopped=False, stopped_why="", valid_until=None, missing=())


@pytest.mark.parametrize(
    ("facts", "needed", "reasons"),
    [
        (FACTS, 10 * ONE, []),
        (FACTS, 10 * ONE + 1, [Reason.NOT_ENOUGH_CASH]),
        (replace(FACTS, allowances={}), ONE, [Reason.ALLOWANCE_MISSING]),
        (replace(FACTS, allowances={ExchangeDomain.CTF_V2: ONE}), ONE, [Reason.ALLOWANCE_MISSING]),
        (replace(FACTS, available_micros=0, allowances={}), 1, [Reason.NOT_ENOUGH_CASH, Reason.ALLOWANCE_MISSING]),
        (replace(FACTS, available_micros=None), ONE, [Reason.BALANCE_UNKNOWN]),
        (replace(FACTS, unsellable=frozenset({"V3"})), ONE, [Reason.ALLOWANCE_MISSING]),
        (replace(FACTS, unsellable=frozenset({"CTF_V2"})), ONE, []),
    ],
)
def test_a_buy_needs_money_and_leave_of_its_own_exchange_for_both_ways(
    facts: AccountFacts, needed: int, reasons: list[Reason]
) -> None:
    assert [each.reason for each in buy_refusals(facts, V3, needed)] == reasons


@pytest.mark.parametrize(
    ("free", "venue", "reserved", "can"),
    [
        (10, 10, 0, 10),
        (10, 4, 0, 4),
        (10, 99, 0, 10),
        (6, 10, 4, 6),
        (6, 6, 4, 6),  # The venue has sold the four already, and our books follow.
        (6, 7, 4, 6),
        (6, 5, 4, 1),
        (6, 2, 4, 0),
        (10, None, 0, 10),
    ],
)
def test_no_more_is_sold_than_the_venue_has_beside_open_sales(
    free: int, venue: int | None, reserved: int, can: int
) -> None:
    assert sellable(free, venue, reserved_micros=reserved) == can


@pytest.mark.parametrize(
    ("venue", "booked", "reserved", "can"),
    [
        (10, 10, 0, 10),
        (10, 10, 4, 6),
        (6, 10, 4, 6),  # The venue has paid for the four already.
        (8, 10, 4, 6),
        (5, 10, 4, 1),
        (2, 10, 4, 0),
        (20, 10, 4, 16),  # A deposit that is not booked yet.
        (3, 10, 0, 3),
        (0, 0, 0, 0),
    ],
)
def test_what_open_buys_reserve_is_counted_once(venue: int, booked: int, reserved: int, can: int) -> None:
    assert spendable(venue, booked_micros=booked, reserved_micros=reserved) == can


@pytest.mark.parametrize(
    ("standing", "reasons"),
    [
        (WELL, []),
        (replace(WELL, stopped=True, stopped_why="banned"), [Reason.ACCOUNT_STOPPED]),
        (replace(WELL, valid_until=BEGINNING), [Reason.ACCOUNT_NOT_READY]),
        (replace(WELL, valid_until=BEGINNING + timedelta(seconds=1)), []),
        (replace(WELL, missing=None), [Reason.ACCOUNT_NOT_READY]),
        (replace(WELL, missing=["no key", "no credentials"]), [Reason.ACCOUNT_NOT_READY] * 2),
    ],
)
def test_only_an_account_that_lacks_nothing_trades(standing: Standing, reasons: list[Reason]) -> None:
    assert [each.reason for each in standing_refusals(standing, BEGINNING)] == reasons


@pytest.mark.parametrize(("signature_type", "stands"), [(0, KEY), (1, KEY), (2, KEY), (3, WALLET)])
def test_a_deposit_wallet_stands_as_signer_of_its_own_orders(signature_type: int, stands: str) -> None:
    assert replace(FACTS, signature_type=signature_type).order_signer == stands
