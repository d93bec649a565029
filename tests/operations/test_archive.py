"""Old copies that were never made leave the hot table, and only those."""

from collections.abc import Iterator

import pytest

from copytrading.models import CopyTrade, CopyTradeArchive
from copytrading.operations.archive import archive_skipped
from guardrails.models import GuardrailEvent
from tests.world import World, minutes

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> Iterator[World]:
    """Fay copies, Fred is skipped."""
    made = World()
    made.follower("Fay")
    made.follower("Fred", sides="SELL")
    made.copy(made.row())
    yield made
    made.close()


def test_skipped_copies_are_archived_with_their_reasons(world: World) -> None:
    skipped = CopyTrade.objects.get(status="SKIPPED")
    later = world.clock.now() + minutes(1)
    assert archive_skipped(before=later, now=later) == 1
    archived = CopyTradeArchive.objects.get()
    assert (archived.trade_id, archived.reasons, archived.token_id) == (skipped.pk, skipped.reasons, skipped.token_id)
    assert [trade.status for trade in world.trades()] == ["EXECUTED"]
    assert not GuardrailEvent.objects.filter(reason="SIDE_FILTERED").exists()


def test_young_copies_and_open_signals_stay(world: World) -> None:
    now = world.clock.now()
    assert archive_skipped(before=now - minutes(1), now=now) == 0
    world.signals()[0].__class__.objects.update(done_at=None)
    assert archive_skipped(before=now + minutes(1), now=now) == 0


def test_an_archived_copy_is_not_made_again(world: World) -> None:
    later = world.clock.now() + minutes(1)
    archive_skipped(before=later, now=later)
    world.copy(world.row(), walk="another walk")
    assert [trade.status for trade in world.trades()] == ["EXECUTED"]
