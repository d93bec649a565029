"""The cast everyone knows, as fixtures: leader Lena, followers Fay (within limits) and Fred (over), operator Olga."""

import pytest
from django.contrib.auth.models import User

from copytrading.models import CopyConfig, Follower, Leader
from ledger.units import ONE
from tests.factories import CashBalanceFactory, CopyConfigFactory, FollowerFactory, LeaderFactory


@pytest.fixture
def lena(db: None) -> Leader:
    """Whose trades are copied."""
    return LeaderFactory(name="Lena")


@pytest.fixture
def fay(db: None) -> Follower:
    """A paper follower with $10,000 and no limits of her own."""
    follower = FollowerFactory(name="Fay")
    CashBalanceFactory(follower=follower)
    return follower


@pytest.fixture
def fay_config(fay: Follower, lena: Leader) -> CopyConfig:
    """Fay copies Lena: 10 %, at most $100 a trade, below the minimum SKIP, slippage 200 bps."""
    return CopyConfigFactory(follower=fay, leader=lena)


@pytest.fixture
def fred(db: None) -> Follower:
    """A paper follower with $10,000 whose day is bounded by $1, which no buy that the venue takes can keep."""
    follower = FollowerFactory(name="Fred", daily_limit_micros=ONE)
    CashBalanceFactory(follower=follower)
    return follower


@pytest.fixture
def fred_config(fred: Follower, lena: Leader) -> CopyConfig:
    """Fred copies Lena as Fay does."""
    return CopyConfigFactory(follower=fred, leader=lena)


@pytest.fixture
def olga(db: None) -> User:
    """The operator: staff, without further rights."""
    return User.objects.create_user("olga", is_staff=True)
