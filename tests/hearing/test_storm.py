"""All sources at once while everything goes wrong at once: still each trade once, to the last micro."""

import pytest

from copytrading.models import SignalGroup
from copytrading.signals import ACTIVITY_ORDERS_MATCHED, ACTIVITY_TRADES, CHAIN_LOGS, DATA_API
from tests.hearing.listener import CHAIN, POLLS, SOCKET
from tests.hearing.stage import stage
from tests.sandbox.chain_stage import needs_chain

pytestmark = [pytest.mark.django_db(transaction=True)]

STREAM_AND_POLLS = (
    *("activity:drop=20%", "activity:duplicate=20%", "activity:reorder=20%", "activity:delay=20%,200ms"),
    *("data-api:drop=20%", "data-api:reorder=30%", "data-api:stale=300ms", "data-api:delay=20%,100ms"),
    "data-api:disconnect=2",
)
CHAIN_TOO = ("chain:drop=30%", "chain:duplicate=20%", "chain:delay=20%,200ms", "chain:429=2", "chain:reorg=2")


async def test_stream_and_polls_in_a_storm_end_with_the_truth() -> None:
    async with stage(SOCKET, POLLS) as s:
        await s.play()
        for fault in STREAM_AND_POLLS:
            await s.fault(fault)
        await s.play(120)
        await s.fault("activity:disconnect")
        await s.play(120)
        s.box.faults.lift()
        await s.play()
        await s.ends_with_the_truth()
        first = {label: s.listener.counted(label).counts["first"] for label in (ACTIVITY_TRADES, DATA_API)}
        assert all(first.values()), first


@needs_chain
@pytest.mark.postgres
async def test_all_sources_in_a_storm_end_with_the_truth() -> None:
    async with stage(SOCKET, POLLS, CHAIN) as s:
        await s.play()
        for fault in (*STREAM_AND_POLLS, *CHAIN_TOO):
            await s.fault(fault)
        await s.play(120)
        await s.fault("activity:freeze")
        await s.fault("chain:reorg=3")
        await s.play(120)
        s.box.faults.lift()
        await s.play()
        await s.ends_with_the_truth()
        await s.claims_no_wrong_holding()
        labels = (ACTIVITY_TRADES, ACTIVITY_ORDERS_MATCHED, DATA_API, CHAIN_LOGS)
        firsts = [s.listener.counted(label).counts["first"] for label in labels]
        assert sum(firsts) == await s.ask(SignalGroup.objects.filter(parts__gt=0).count)
        assert s.listener.total("overcounts") == 0
