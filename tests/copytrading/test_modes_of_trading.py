"""Where a follower's orders may go: pretend, its own account on the venue, or nowhere."""

from dataclasses import replace
from typing import Any

import pytest

from copytrading.decide import filter_refusals
from execution.accounts import AccountFacts
from execution.preflight import ORDER_FACTS, MarketTerms
from guardrails.intents import Reason, Refusal
from ledger.units import Side
from tests.copytrading.test_decide import FACTS, FAY, OPEN_MARKET, trade

READY = AccountFacts(follower_id=1, wallet="0x" + "aa" * 20, signer="0x" + "bb" * 20)
STOPPED = replace(READY, refusals=(Refusal(Reason.ACCOUNT_STOPPED, subject="banned"),))


@pytest.mark.parametrize(
    ("mode", "facts", "reasons"),
    [
        ("PAPER", {}, []),
        ("PAPER", {"real_trading": True}, []),
        ("EXCHANGE", {}, [Reason.MODE_UNAVAILABLE]),
        ("EXCHANGE", {"account": READY}, [Reason.MODE_UNAVAILABLE]),
        ("EXCHANGE", {"real_trading": True}, [Reason.ACCOUNT_NOT_READY]),
        ("EXCHANGE", {"real_trading": True, "account": READY}, []),
        ("EXCHANGE", {"real_trading": True, "account": STOPPED}, [Reason.ACCOUNT_STOPPED]),
        ("PROXY", {"real_trading": True, "account": READY}, [Reason.MODE_UNAVAILABLE]),
    ],
)
def test_a_mode_without_a_way_is_refused(mode: str, facts: dict[str, Any], reasons: list[Reason]) -> None:
    found = filter_refusals(trade(), replace(FAY, mode=mode), replace(FACTS, **facts))
    assert [each.reason for each in found] == reasons


UNSAID = {
    "version": Refusal(Reason.UNKNOWN_MARKET_VERSION),
    **{fact: Refusal(Reason.FACT_MISSING, subject=fact) for fact in ("neg risk", "tick size", "fee")},
}


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("fact", ORDER_FACTS)
def test_real_money_is_not_traded_on_a_term_that_the_venue_has_not_said(fact: str, side: Side) -> None:
    facts = replace(FACTS, market=replace(OPEN_MARKET, unsaid=(fact,)), real_trading=True, account=READY)
    exit_of_fay = replace(trade(Side.SELL), only_config=FAY.config_id)
    for signal in (trade(side), exit_of_fay):
        assert filter_refusals(signal, replace(FAY, mode="EXCHANGE"), facts) == (UNSAID[fact],)
        assert filter_refusals(signal, replace(FAY, mode="PAPER"), facts) == ()


def test_terms_are_unsaid_unless_somebody_names_who_said_them() -> None:
    facts = replace(FACTS, market=MarketTerms(), real_trading=True, account=READY)
    assert filter_refusals(trade(), replace(FAY, mode="EXCHANGE"), facts) == tuple(UNSAID.values())
