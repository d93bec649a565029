"""A leader's transaction that left the chain: what is marked, what is not done twice."""

from datetime import timedelta

import pytest

from copytrading.models import LeaderPosition, SignalSourceTotal
from copytrading.operations.withdrawals import withdraw
from copytrading.signals import ACTIVITY_TRADES, CHAIN_LOGS, MEMPOOL
from guardrails.models import GuardrailEvent
from tests.doors import BEGINNING
from tests.world import World

pytestmark = pytest.mark.django_db
TX = f"0x{1:064x}"


@pytest.fixture
def world(make_world) -> World:
    return make_world()


def heard(world: World, *sources: str) -> None:
    for source in sources:
        world.copy(world.row(), source=source, walk=source)


def test_a_trade_whose_block_left_the_chain_is_marked_with_an_incident(world: World) -> None:
    world.follower()
    heard(world, CHAIN_LOGS)
    found = withdraw(CHAIN_LOGS, [TX], now=BEGINNING)
    assert (found.groups, found.acted) == (1, 1)
    assert world.trades()[0].signal.group.withdrawn_at == BEGINNING
    event = GuardrailEvent.objects.get(reason="WITHDRAWN")
    assert (event.value, event.limit) == (1_000_000_000, 0)


def test_a_second_withdrawal_changes_nothing(world: World) -> None:
    heard(world, CHAIN_LOGS)
    withdraw(CHAIN_LOGS, [TX], now=BEGINNING)
    assert withdraw(CHAIN_LOGS, [TX], now=BEGINNING + timedelta(seconds=1)).groups == 0
    assert GuardrailEvent.objects.filter(reason="WITHDRAWN").count() == 1


def test_the_transaction_mined_again_is_not_copied_again(world: World) -> None:
    world.follower()
    heard(world, CHAIN_LOGS)
    withdraw(CHAIN_LOGS, [TX], now=BEGINNING)
    world.copy(world.row(), source=CHAIN_LOGS, walk="another block")
    assert len(world.trades()) == 1
    assert SignalSourceTotal.objects.get().size_micros == 1_000_000_000


def test_what_was_mined_after_all_is_no_longer_marked(world: World) -> None:
    heard(world, CHAIN_LOGS)
    withdraw(CHAIN_LOGS, [TX], now=BEGINNING)
    world.copy(world.row(), source=CHAIN_LOGS, walk="another block")
    assert SignalSourceTotal.objects.get().group.withdrawn_at is None


def test_no_other_source_adds_to_a_trade_that_left_the_chain(world: World) -> None:
    world.follower()
    heard(world, CHAIN_LOGS)
    withdraw(CHAIN_LOGS, [TX], now=BEGINNING)
    world.copy(world.row("5000"), source=ACTIVITY_TRADES, walk="stream")
    assert len(world.trades()) == 1


def test_a_pending_transaction_that_was_mined_under_the_logs_eyes_is_not_withdrawn(world: World) -> None:
    heard(world, MEMPOOL, CHAIN_LOGS)
    assert withdraw(MEMPOOL, [TX], now=BEGINNING).acted == 0
    assert not GuardrailEvent.objects.filter(reason="WITHDRAWN").exists()


def test_a_pending_transaction_that_vanished_marks_its_copies(world: World) -> None:
    world.follower()
    heard(world, MEMPOOL)
    withdraw(MEMPOOL, [TX], now=BEGINNING)
    assert [trade.signal.group.withdrawn_at for trade in world.trades()] == [BEGINNING]


def test_what_the_leader_holds_then_is_not_known(world: World) -> None:
    world.lena.holdings_complete = True
    world.lena.save()
    heard(world, CHAIN_LOGS)
    assert LeaderPosition.objects.get().known
    withdraw(CHAIN_LOGS, [TX], now=BEGINNING)
    world.lena.refresh_from_db()
    assert not LeaderPosition.objects.get().known
    assert not world.lena.holdings_complete


def test_a_transaction_of_nobody_we_know_is_nothing() -> None:
    assert withdraw(CHAIN_LOGS, ["0x" + "99" * 32], now=BEGINNING).groups == 0
