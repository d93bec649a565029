"""That the checks of claimed rows and lost answers can fail, each step of them."""

import json

import pytest

from tests.commands.test_verify import RUN, environment, finished, left_behind
from tests.conftest import ROOT

LOCKS_WITHOUT_TOKENS = """
from copytrading.models import CopyTrade
from copytrading.operations import outcomes, waiting
cas = outcomes.compare_and_set
def blind(model, *, match, assign, rows):
    return cas(model, match=match[:1], assign=assign, rows=[(row[0], *row[len(match):]) for row in rows])
def take(row, *, token, by, term, now):
    CopyTrade.objects.filter(pk=row.pk).update(lock_token=token)
    row.lock_token = token
    return row
outcomes.compare_and_set, outcomes.take_over = blind, take
waiting._still_as_seen = lambda work: list(zip(work.rows, work.decisions))
"""

BUDGETS_KEPT = """
from copytrading.operations import outcomes
outcomes.give_back_budgets = lambda moves: None
"""

SENT_AGAIN_AFTER_ANY_ERROR = """
from execution.ports import HoldUp, NotTaken, Unknown
from execution.venues import clob
read = clob.read_order_answer
def hopeful(*args, **how):
    found = read(*args, **how)
    return NotTaken(why=HoldUp.UNAVAILABLE, wait_s=0.1) if isinstance(found, Unknown) else found
clob.read_order_answer = hopeful
"""


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("check", "sabotage", "failing"),
    [
        pytest.param("lock-claims", LOCKS_WITHOUT_TOKENS, {0, 1, 2, 3, 4}, id="no tokens"),
        pytest.param("unknown-outcomes", BUDGETS_KEPT, {3}, id="budgets kept", marks=pytest.mark.slow),
        pytest.param(
            "unknown-outcomes", SENT_AGAIN_AFTER_ANY_ERROR, {0, 1, 2, 3}, id="sent again", marks=pytest.mark.slow
        ),
    ],
)
def test_what_is_broken_fails(database_url: str, check: str, sabotage: str, failing: set[int]) -> None:
    env = environment(database_url, PYTHONPATH=str(ROOT))
    done = finished(["-c", RUN.format(sabotage=sabotage), check, "--json"], env)
    told = json.loads(done.stdout)
    failed = {index for index, step in enumerate(told["steps"]) if step["result"] == "FAIL"}
    assert failed == failing, told
    assert (done.returncode, told["passed"], left_behind()) == (1, False, [])
