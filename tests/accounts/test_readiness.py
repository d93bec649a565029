"""What an account lacks, in the order in which it is put right, each with its next step."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from copytrading.accounts.readiness import Examined, Part, blocking, missing
from execution.orders import ExchangeDomain
from ledger.units import ONE
from tests.doors import BEGINNING

WELL = Examined(
    now=BEGINNING,
    wallet="0x" + "aa" * 20,
    signer="0x" + "bb" * 20,
    signature_type=3,
    skew_s=0.4,
    closed_only=False,
    deployed=True,
    balance_micros=ONE,
    allowances=dict.fromkeys(ExchangeDomain, ONE),
    sellable=dict.fromkeys(ExchangeDomain, True),
)


def test_an_account_that_lacks_nothing_is_ready() -> None:
    assert missing(WELL) == ()


@pytest.mark.parametrize(
    ("changes", "part", "blocks"),
    [
        ({"real_trading": False}, Part.REAL_TRADING, True),
        ({"mode": "PAPER"}, Part.MODE, True),
        ({"stopped_why": "It was banned."}, Part.STATE, True),
        ({"session_valid_until": BEGINNING}, Part.SESSION, True),
        ({"session_valid_until": BEGINNING + timedelta(days=9)}, Part.SESSION, False),
        ({"skew_s": 11.0}, Part.CLOCK, True),
        ({"skew_s": -11.0}, Part.CLOCK, True),
        ({"place_blocked": True}, Part.PLACE, True),
        ({"key_trouble": "There is no secret."}, Part.KEY, True),
        ({"credentials_trouble": "The venue is silent."}, Part.CREDENTIALS, True),
        ({"closed_only": True}, Part.STANDING, True),
        ({"deployed": False}, Part.WALLET, True),
        ({"balance_micros": 0}, Part.BALANCE, False),
        ({"balance_micros": None}, Part.BALANCE, False),
    ],
)
def test_each_lack_is_told_with_its_next_step(changes: dict[str, Any], part: Part, blocks: bool) -> None:
    (lack,) = missing(replace(WELL, **changes))
    assert (lack.part, lack.blocks) == (part, blocks)
    assert lack.sentence.endswith(".")
    assert lack.next.endswith(".")


@pytest.mark.parametrize(
    "changes",
    [
        {"session_valid_until": BEGINNING + timedelta(days=11)},
        {"skew_s": 9.9},
        {"skew_s": None},
        {"place_blocked": None},
        {"deployed": None},
        {"sellable": {}},
        {"closed_only": None},
        {"deployed": False, "signature_type": 0},
        {"mode": "EXCHANGE", "real_trading": True},
    ],
)
def test_what_is_well_or_unknown_is_no_lack(changes: dict[str, Any]) -> None:
    assert missing(replace(WELL, **changes)) == ()


def test_every_exchange_without_leave_is_named() -> None:
    lacks = missing(replace(WELL, allowances={ExchangeDomain.V3: ONE}))
    assert [(each.part, each.sentence.split()[2]) for each in lacks] == [
        (Part.ALLOWANCE, "CTF_V2"),
        (Part.ALLOWANCE, "NEG_RISK_V2"),
    ]
    assert blocking(lacks) == ()


def test_an_exchange_that_may_not_move_the_shares_is_named_with_the_contract_to_allow_it_on() -> None:
    lacks = missing(replace(WELL, signature_type=0, sellable={ExchangeDomain.CTF_V2: True, ExchangeDomain.V3: False}))
    assert [(each.part, each.blocks, each.no_exit) for each in lacks] == [(Part.SHARES, False, "V3")]
    step = f"`manage.py approveaccount --wallet {WELL.wallet}` sends the setApprovalForAll of PositionManager"
    assert step in lacks[0].next
    assert lacks[0].as_json().get("no_exit") == "V3"


@pytest.mark.parametrize(
    ("signature_type", "step"), [(0, "`manage.py approveaccount --wallet 0x"), (3, "venue's site")]
)
def test_only_a_wallet_that_is_its_own_key_is_approved_from_here(signature_type: int, step: str) -> None:
    lacks = missing(replace(WELL, signature_type=signature_type, allowances={}, sellable={ExchangeDomain.V3: False}))
    assert [each.part for each in lacks] == [Part.ALLOWANCE] * 3 + [Part.SHARES]
    assert all(step in each.next for each in lacks)


def test_without_a_key_its_credentials_are_no_step_yet() -> None:
    lacks = missing(replace(WELL, key_trouble="There is none.", credentials_trouble="There are none."))
    assert [each.part for each in lacks] == [Part.KEY]
