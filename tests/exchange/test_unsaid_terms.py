"""Real money trades in a market only by terms that the venue has said; pretended money takes the usual ones."""

from collections.abc import Iterator
from typing import Any

import pytest

from copytrading.facts import MarketsReady
from copytrading.models import CopyTrade, Follower
from execution.books import Book, Level
from execution.directory import DirectoryDoors, MarketDirectory
from execution.gamma_client import CLOB, GammaClient
from execution.hosts import HostDown, HostRefused
from execution.models import Market, TradingAccount
from execution.position_ids import condition_of_position
from guardrails.operations import set_switch
from ledger.units import ONE, Micros
from tests.doors import InlineDatabase
from tests.tracking.desk import MovableClock
from tests.tracking.exchange import ExchangeWorld

pytestmark = pytest.mark.django_db

SNOW, SNOW_YES = "0x" + "77" * 32, 7777
POSITION = (1 << 248) | (0xABCDEF << 120) | (2 << 104)
POSITION_CONDITION = condition_of_position(POSITION)

GAMMA_SAYS: dict[str, Any] = {
    "conditionId": SNOW,
    "version": "v1",
    "clobTokenIds": f'["{SNOW_YES}", "8888"]',
    "negRisk": True,
    "orderPriceMinTickSize": "0.01",
    "orderMinSize": "5",
    "feesEnabled": False,
    "acceptingOrders": True,
    "closed": False,
}
CLOB_SAYS: dict[str, Any] = {"mts": "0.01", "mos": 5, "nr": False, "fd": {"r": 0, "e": 1}, "v": "v1"}


class Venue:
    """Gamma and the CLOB: what they say of the one market, or None while they are away or do not know it."""

    def __init__(self) -> None:
        self.gamma: dict[str, Any] | None = None
        self.clob: dict[str, Any] | None = None

    async def ask(self, kind: str, path: str, query: Any = ()) -> object:
        if kind == CLOB:
            if self.clob is None:
                raise HostRefused(404)
            return self.clob
        if self.gamma is None:
            raise HostDown("gamma is away")
        return {"markets": [self.gamma], "next_cursor": ""}


class SnowWorld(ExchangeWorld):
    """A world where a market is met in Lena's trade, and described by this venue if at all."""

    def __init__(self) -> None:
        self.venue, self.venue_clock = Venue(), MovableClock()
        super().__init__()

    def markets(self) -> MarketsReady:
        host: Any = self.venue
        doors = DirectoryDoors(client=GammaClient(host, host), database=InlineDatabase(), clock=self.venue_clock)
        return MarketDirectory(doors)

    def trade(self, *, condition: str = SNOW, token: int = SNOW_YES, tx: int = 1) -> list[CopyTrade]:
        """Lena buys in the market; the copies of it, oldest first."""
        level = (Level(Micros(500_000), Micros(10**6 * ONE)),)
        self.books.put(Book(token_id=token, bids=level, asks=level, version="x"))
        copies = self.copy(self.row(asset=str(token), conditionId=condition, tx=tx))
        return [each for each in copies if each.condition_id == condition]


@pytest.fixture
def snow() -> Iterator[SnowWorld]:
    world = SnowWorld()
    yield world
    world.close()


def told(copy: CopyTrade) -> list[tuple[str, str]]:
    return [(each["reason"], each.get("subject", "")) for each in copy.reasons]


NO_VERSION = ("UNKNOWN_MARKET_VERSION", "")
NOTHING_SAID = [NO_VERSION, *(("FACT_MISSING", fact) for fact in ("neg risk", "tick size", "fee"))]


@pytest.mark.parametrize(("condition", "token"), [(SNOW, SNOW_YES), (POSITION_CONDITION, POSITION)])
def test_a_market_that_nobody_can_describe_is_not_traded(snow: SnowWorld, condition: str, token: int) -> None:
    snow.follower()
    (copy,) = snow.trade(condition=condition, token=token)
    assert (copy.status, copy.order_hash, told(copy)) == ("SKIPPED", None, NOTHING_SAID)
    assert snow.exchange.submitted == []


@pytest.mark.parametrize(
    ("field", "said", "why"),
    [
        ("version", None, NO_VERSION),
        ("version", "v3", NO_VERSION),
        ("version", "protocol-3", NO_VERSION),
        ("negRisk", None, ("FACT_MISSING", "neg risk")),
        ("orderPriceMinTickSize", None, ("FACT_MISSING", "tick size")),
        ("feesEnabled", None, ("FACT_MISSING", "fee")),
        ("feesEnabled", True, ("FACT_MISSING", "fee")),  # and no schedule
    ],
)
def test_a_description_that_lacks_one_term_is_not_enough(
    snow: SnowWorld, field: str, said: object, why: tuple[str, str]
) -> None:
    snow.venue.gamma = {**GAMMA_SAYS, field: said}
    snow.follower()
    (copy,) = snow.trade()
    assert (copy.status, told(copy)) == ("SKIPPED", [why])


@pytest.mark.parametrize("named", [None, "v3", 3, "protocol-3"])
def test_a_version_that_the_clob_names_otherwise_or_not_at_all_is_not_traded(snow: SnowWorld, named: object) -> None:
    snow.venue.clob = {**CLOB_SAYS, "v": named}
    snow.follower()
    (copy,) = snow.trade()
    assert (copy.status, told(copy)) == ("SKIPPED", [NO_VERSION])
    assert Market.objects.get(condition_id=SNOW).version not in ("v1", "v2")


def test_a_dry_run_refuses_the_same(snow: SnowWorld) -> None:
    snow.follower()
    rehearsal = {"kind": "DRY_RUN", "scope": "GLOBAL", "key": "", "who": "olga", "why": ""}
    set_switch(**rehearsal, on=True, now=snow.clock.now())
    (copy,) = snow.trade()
    assert (copy.status, told(copy)) == ("SKIPPED", NOTHING_SAID)


@pytest.mark.parametrize(
    ("gamma", "clob", "domain"),
    [
        (GAMMA_SAYS, None, "NEG_RISK_V2"),
        (None, CLOB_SAYS, "CTF_V2"),
        ({**GAMMA_SAYS, "version": None, "feesEnabled": True}, CLOB_SAYS, "NEG_RISK_V2"),
    ],
)
def test_what_gamma_the_clob_or_both_together_say_is_traded_by(
    snow: SnowWorld, gamma: dict[str, Any] | None, clob: dict[str, Any] | None, domain: str
) -> None:
    snow.venue.gamma, snow.venue.clob = gamma, clob
    snow.follower()
    (copy,) = snow.trade()
    assert (copy.status, copy.domain) == ("MATCHED", domain)


def test_a_market_is_traded_once_it_has_been_described_and_also_when_the_venue_is_away_again(snow: SnowWorld) -> None:
    snow.follower()
    snow.trade(tx=1)
    snow.venue.gamma = GAMMA_SAYS
    snow.venue_clock.ahead_s += 31
    snow.trade(tx=2)
    snow.venue.gamma = None
    snow.venue_clock.ahead_s += 301
    found = [each.status for each in snow.trade(tx=3)]
    assert found == ["SKIPPED", "MATCHED", "MATCHED"]


def test_pretended_money_trades_a_market_that_nobody_described_on_the_usual_terms(snow: SnowWorld) -> None:
    paper = snow.follower("Fay")
    TradingAccount.objects.filter(follower=paper).delete()
    Follower.objects.filter(pk=paper.pk).update(mode="PAPER")
    (copy,) = snow.trade()
    assert (copy.status, copy.domain, copy.tick_micros) == ("EXECUTED", "CTF_V2", 10_000)
