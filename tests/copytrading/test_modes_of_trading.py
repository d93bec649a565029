"""Where a follower's orders may go: pretend, its own account on the venue, or nowhere."""

from dataclasses import replace
from typing import Any

import pytest

from copytrading.decide import filter_refusals
from execution.accounts import AccountFacts
from guardrails.intents import Reason, Refusal
from tests.copytrading.test_decide import FACTS, FAY, trade

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
