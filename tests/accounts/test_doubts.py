"""What is heard against an account: what it is about, and how often it is looked into."""

from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError

from copytrading.accounts.doubts import About, Doubt, said
from copytrading.accounts.examination import Stopped
from copytrading.accounts.keeper import CLAIMED_MAX, CREDENTIALS_AGAIN_MS, AccountKeeper, KeeperDoors
from copytrading.accounts.readiness import Examined
from copytrading.models import Follower
from copytrading.operations.account_states import AccountRow
from execution.models import TradingAccount
from tests.accounts.test_readiness import WELL
from tests.doors import BEGINNING, InlineDatabase, VirtualClock, outside_loop
from tests.factories import FollowerFactory

pytestmark = pytest.mark.django_db

SIGN = Doubt(about=About.CREDENTIALS, why="The user channel closes on its key at once.")
WORDS = Doubt(about=About.ACCOUNT, why="address banned")


@pytest.mark.parametrize(
    ("sentence", "about"),
    [
        ("The credentials were refused.", About.CREDENTIALS),
        ("Unauthorized/Invalid api key", About.CREDENTIALS),
        ("the order owner has to be the owner of the api key", About.ACCOUNT),
        ("'0x…' address banned", About.ACCOUNT),
        ("invalid signature", About.KEY),
        ("something new", About.ACCOUNT),
    ],
)
def test_the_venues_words_say_what_is_in_doubt(sentence: str, about: About) -> None:
    assert said(sentence) == Doubt(about=about, why=sentence)


class Around:
    """What the keeper works with beside the database: writes down every look, and finds that a key is not at hand."""

    def __init__(self) -> None:
        self.known: frozenset[int] = frozenset()
        self.looks: list[tuple[int, Doubt | None]] = []

    def fits(self, row: AccountRow) -> bool:
        return True

    def keep(self, follower_ids: list[int]) -> None:
        pass

    async def examine(self, row: AccountRow, *, doubt: Doubt | None = None) -> Examined | Stopped:
        self.looks.append((row.follower_id, doubt))
        return replace(WELL, key_trouble="The signer is away.")


class Watch:
    """A keeper over accounts that somebody else has just looked at, so that only doubts make it look."""

    def __init__(self, accounts: int = 1) -> None:
        self.clock, self.around = VirtualClock(), Around()
        self.accounts = outside_loop(lambda: [_account() for _ in range(accounts)])
        around: Any = self.around
        self.keeper = AccountKeeper(
            KeeperDoors(database=InlineDatabase(), clock=self.clock, book=around, examiner=around, funds=around)
        )

    async def after(self, seconds: float) -> list[tuple[int, Doubt | None]]:
        """The looks of one round, so much later."""
        self.clock.advance(seconds)
        self.around.looks.clear()
        await self.keeper.run_once()
        return list(self.around.looks)


def _account() -> int:
    follower = FollowerFactory(mode=Follower.Mode.EXCHANGE)
    TradingAccount.objects.create(follower=follower, signer=follower.wallet, missing=[], checked_at=BEGINNING)
    return int(follower.pk)


async def test_doubts_about_credentials_that_follow_each_other_wait_for_their_time() -> None:
    watch = Watch()
    (fay,) = watch.accounts
    looks = []
    for _second in range(int(CREDENTIALS_AGAIN_MS / 1_000)):
        watch.keeper.doubt(fay, SIGN)
        looks += await watch.after(1)
    assert looks == [(fay, SIGN)]
    assert await watch.after(1) == [(fay, SIGN)]


async def test_what_the_venue_says_against_an_account_waits_for_no_time_and_behind_no_sign() -> None:
    watch = Watch()
    (fay,) = watch.accounts
    watch.keeper.doubt(fay, SIGN)
    await watch.after(1)
    for doubt in (SIGN, said("invalid signature"), WORDS, SIGN):
        watch.keeper.doubt(fay, doubt)
    assert await watch.after(1) == [(fay, WORDS)]


async def test_what_was_said_while_the_database_is_away_is_looked_into_when_it_is_back() -> None:
    watch = Watch()
    (fay,) = watch.accounts
    examine = watch.around.examine

    async def away(row: AccountRow, *, doubt: Doubt | None = None) -> Examined | Stopped:
        raise OperationalError

    watch.around.examine = away  # type: ignore[method-assign]
    watch.keeper.doubt(fay, WORDS)
    with pytest.raises(OperationalError):
        await watch.after(1)
    watch.around.examine = examine  # type: ignore[method-assign]
    assert await watch.after(1) == [(fay, WORDS)]


async def test_a_doubt_about_everybody_is_looked_into_in_parts_with_the_venues_words_first() -> None:
    watch = Watch(CLAIMED_MAX + 1)
    for each in watch.accounts[:-1]:
        watch.keeper.doubt(each, SIGN)
    watch.keeper.doubt(watch.accounts[-1], WORDS)
    first, second, third = [await watch.after(1) for _round in range(3)]
    assert (first[0], len(first)) == ((watch.accounts[-1], WORDS), CLAIMED_MAX)
    assert ([doubt for _each, doubt in second], third) == ([SIGN], [])
