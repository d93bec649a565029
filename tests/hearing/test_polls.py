"""Polls alone, under every fault of the Data API: each trade once, to the last micro."""

import pytest

from tests.hearing.listener import POLLS
from tests.hearing.stage import stage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]

LOST = "data-api:drop=30%"
REORDER = "data-api:reorder"
FAULTS = (
    "data-api:delay=50%,300ms",
    "data-api:disconnect=5",
    "data-api:half-open=300ms",
    "data-api:429=1",
    "data-api:5xx=2",
    "data-api:stale=500ms",
)

UNSEEN = ("TRANSFER",)
"""The Data API shows nothing of gifts; only the next reading of the positions corrects what they moved."""


@pytest.mark.parametrize("fault", FAULTS)
async def test_polls_end_with_the_truth(fault: str) -> None:
    async with stage(POLLS) as s:
        await s.play()
        await s.fault(fault)
        await s.play()
        await s.struck(fault)
        s.box.faults.lift()
        await s.play()
        await s.ends_with_the_truth()
        await s.knows_the_holdings(unseen=UNSEEN)


@pytest.mark.parametrize("fault", [LOST, REORDER])
async def test_polls_that_hear_a_sale_first_end_with_the_truth_and_claim_no_wrong_holding(fault: str) -> None:
    async with stage(POLLS) as s:
        await s.play()
        await s.fault(fault)
        await s.play()
        await s.struck(fault)
        s.box.faults.lift()
        await s.play()
        await s.ends_with_the_truth()
        # A sale that is heard before its purchase takes more than is known, and unlearns the holding.
        await s.claims_no_wrong_holding(unseen=UNSEEN)


async def test_a_second_with_more_rows_than_a_page_ends_with_the_truth_once_paging_goes_on() -> None:
    async with stage(POLLS) as s:
        await s.fault("data-api:clamp")
        await s.play(120, in_a_second=120)
        await s.struck("data-api:clamp")
        s.box.faults.lift()
        await s.ends_with_the_truth()
