"""One connection for each key, whichever shards copy for it: who holds it, and who hears of what."""

from datetime import timedelta

import pytest

from copytrading.models import CopyTrade, Follower
from copytrading.operations.cast import seed_leaders
from copytrading.queries import Due, Shard, to_rescue
from copytrading.shards import shard_of
from copytrading.tracking.queries import active_followers
from execution.models import VenueFill
from tests.tracking.exchange import ExchangeWorld, statuses
from tests.tracking.test_user_streams import Hearing
from tests.world import LENA

pytestmark = pytest.mark.django_db


def apart(follower: Follower) -> int:
    """A number of shards of which Lena and the follower are in two."""
    return next(of for of in range(2, 99) if shard_of(follower.wallet, of) != shard_of(LENA, of))


def test_one_key_has_one_connection_though_its_leaders_are_in_two_shards(exchange: ExchangeWorld) -> None:
    exchange.follower()
    exchange.copy(exchange.row(tx=1), exchange.row(tx=2))
    others = (f"0x{number:040x}" for number in range(1, 99))
    otto = seed_leaders(
        {next(each for each in others if shard_of(each, 2) != shard_of(LENA, 2)): "Otto"}, holdings_complete=False
    )[0]
    CopyTrade.objects.filter(pk=CopyTrade.objects.latest("pk").pk).update(leader=otto)
    since = exchange.clock.now() - timedelta(minutes=10)
    held = [active_followers(since=since, limit=9, shard=Shard(index, 2)) for index in (0, 1)]
    assert sum(len(each) for each in held) == 1


def test_one_shards_connection_hears_and_books_what_another_shard_sent(exchange: ExchangeWorld) -> None:
    fay = exchange.follower()
    (row,) = exchange.copy(exchange.row())
    of = apart(fay)
    hearing = Hearing(exchange, shard=Shard(shard_of(fay.wallet, of), of))

    async def story() -> None:
        await hearing.until(lambda: bool(hearing.board.lines))
        hearing.tell(row)
        await hearing.until(lambda: hearing.exchange.engine.tallies.copies["EXECUTED"] == 1)

    hearing.run(story)
    assert (statuses(exchange), VenueFill.objects.count()) == (["EXECUTED"], 1)


def test_the_shard_that_sent_an_order_asks_about_it_though_another_holds_the_connection(
    exchange: ExchangeWorld,
) -> None:
    fay = exchange.follower()
    (row,) = exchange.copy(exchange.row())
    of, now = apart(fay), exchange.clock.now() + timedelta(minutes=1)

    def asked_by(wallet: str) -> list[CopyTrade]:
        shard = Shard(shard_of(wallet, of), of)
        return to_rescue(Due(open_since=now, now=now, limit=9, shard=shard, modes=frozenset({"EXCHANGE"})))

    assert (asked_by(LENA), asked_by(fay.wallet)) == ([row], [])
