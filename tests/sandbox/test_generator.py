"""The generator repeats from its seed, and what it makes up has the shapes of the recordings."""

from collections import Counter, defaultdict
from itertools import pairwise

from execution.sandbox.board import Board
from execution.sandbox.generator import Generator, MarketEnd, NewMarket, What
from execution.sandbox.happenings import Leg, Match, Move
from execution.sandbox.leaders import make_crowd, make_leaders
from execution.sandbox.markets import make_markets
from execution.sandbox.off_chain import OffChain
from execution.sandbox.trading import Trading
from execution.sandbox.truth import Truth
from execution.sandbox.world import World
from ledger.system import SeededRandomness
from tests.doors import VirtualClock

STEPS = 4_000
ONE = 1_000_000


class _Run:
    """A generator played to its end, as the sandbox plays it but without a server."""

    def __init__(self, seed: int) -> None:
        clock = VirtualClock()
        self.world = World(clock, OffChain(clock, seed), make_markets(seed))
        self.board = Board(self.world.markets.values(), SeededRandomness(seed))
        chance = SeededRandomness(seed)
        self.trading = Trading(seed, self.board, self.world.truth, chance=chance, crowd=make_crowd(seed))
        self.leaders = make_leaders(seed)
        self.trading.cast(self.leaders, list(self.world.markets.values()))
        self.generator = Generator(seed, self.trading, chance=chance, leaders=self.leaders)
        self.happened: list[tuple[int, What]] = []

    async def play(self, steps: int) -> "_Run":
        now_ms = 0
        for _ in range(steps):
            step = self.generator.next()
            now_ms += step.gap_ms
            for what in step.act():
                self.happened.append((now_ms, what))
                await self._do(what)
        return self

    async def _do(self, what: What) -> None:
        if isinstance(what, NewMarket):
            self.board.add(await self.world.open(what.market))
            self.trading.open.append(what.market)
        elif isinstance(what, MarketEnd):
            self.trading.open.remove(what.market)
            await self.world.resolve(what.market, what.winner)
        else:
            await self.world.happen(what)


_RUNS: dict[int, _Run] = {}


async def _run(seed: int = 3) -> _Run:
    if seed not in _RUNS:
        _RUNS[seed] = await _Run(seed).play(STEPS)
    return _RUNS[seed]


async def _matches() -> list[Match]:
    return [what for _, what in (await _run()).happened if isinstance(what, Match)]


async def _leader_legs() -> list[Leg]:
    wallets = {each.wallet for each in (await _run()).leaders}
    return [leg for match in await _matches() for leg in match.legs if leg.wallet in wallets]


async def test_the_same_seed_makes_the_same_happen() -> None:
    first, again = await _Run(3).play(500), await _Run(3).play(500)
    assert first.happened == again.happened
    assert first.world.truth.as_json() == again.world.truth.as_json()


async def test_another_seed_makes_something_else_happen() -> None:
    assert (await _Run(4).play(50)).happened != (await _Run(3).play(50)).happened


async def test_the_taker_takes_what_the_makers_give_to_the_last_micro() -> None:
    for match in await _matches():
        taker, *makers = match.legs
        assert (taker.maker, {leg.maker for leg in makers}) == (False, {True})
        assert taker.shares_micros == sum(leg.shares_micros for leg in makers)


async def test_money_and_shares_of_a_match_balance() -> None:
    for match in await _matches():
        taker, *makers = match.legs
        for_taker = sum(
            leg.cash_micros if leg.token_id == taker.token_id else leg.shares_micros - leg.cash_micros for leg in makers
        )
        assert taker.cash_micros == for_taker


async def test_makers_take_the_other_side_or_the_same_side_of_the_other_token() -> None:
    market_of = (await _run()).world.market_of
    kinds: Counter[bool] = Counter()
    for match in await _matches():
        taker = match.legs[0]
        other = market_of[taker.token_id].other_token(taker.token_id)
        for maker in match.legs[1:]:
            mint_or_merge = maker.side == taker.side
            assert maker.token_id == (other if mint_or_merge else taker.token_id)
            kinds[mint_or_merge] += 1
    assert min(kinds.values()) > sum(kinds.values()) // 5


async def test_nobody_ever_holds_less_than_nothing() -> None:
    run = await _run()
    replayed = Truth(run.world.markets, run.world.market_of)
    replayed.payouts = run.world.truth.payouts
    clock = VirtualClock()
    settlement = OffChain(clock, 1)
    for _, what in run.happened:
        if isinstance(what, Match | Move):
            replayed.add(what, await settlement.settle(what))
            assert min((micros for held in replayed.holdings.values() for micros in held.values()), default=0) >= 0


async def test_some_rows_of_a_maker_are_equal_in_everything_but_their_order() -> None:
    equal, distinct_orders = 0, True
    for match in await _matches():
        shapes = Counter(
            (leg.wallet, leg.token_id, leg.side, leg.shares_micros, leg.cash_micros) for leg in match.legs[1:]
        )
        equal += sum(count - 1 for count in shapes.values())
        orders = [leg.order_hash for leg in match.legs]
        distinct_orders = distinct_orders and len(set(orders)) == len(orders)
    assert equal > 20
    assert distinct_orders


async def test_an_order_may_fill_in_several_transactions_at_its_one_price() -> None:
    fills: defaultdict[str, list[Leg]] = defaultdict(list)
    for match in await _matches():
        for leg in match.legs:
            fills[leg.order_hash].append(leg)
    assert max(len(legs) for legs in fills.values()) > 1
    for legs in fills.values():
        assert len({(leg.wallet, leg.token_id, leg.side) for leg in legs}) == 1
        # Where shares are not tiny, the cut micro moves no price by a tick.
        ticks = {round(leg.cash_micros * 1_000 / leg.shares_micros) for leg in legs if leg.shares_micros > 100_000}
        assert len(ticks) <= 1


async def test_takers_pay_prices_off_the_tick_and_makers_prices_on_it() -> None:
    takers = [match.legs[0] for match in await _matches() if len(match.legs) > 3]
    off_tick = [leg for leg in takers if leg.cash_micros * ONE % (leg.shares_micros * 1_000)]
    assert len(off_tick) > len(takers) // 5
    makers = [leg for match in await _matches() for leg in match.legs[1:]]
    # Cash is cut to a micro: the tick above the quotient gives exactly this cash again.
    for leg in makers:
        tick = -(-leg.cash_micros * ONE // leg.shares_micros)
        price = -(-tick // 1_000) * 1_000 if leg.shares_micros > 100_000 else tick
        assert leg.shares_micros * price // ONE == leg.cash_micros


async def test_only_takers_pay_fees_cut_to_five_decimals() -> None:
    legs = [leg for match in await _matches() for leg in match.legs]
    assert all(not leg.fee_micros for leg in legs if leg.maker)
    assert all(leg.fee_micros % 10 == 0 for leg in legs)
    assert any(leg.fee_micros for leg in legs)


async def test_leaders_trade_as_often_as_recorded_wallets_together() -> None:
    run = await _run()
    wallets = {each.wallet for each in run.leaders}
    hours = run.happened[-1][0] / 3_600_000
    trades = sum(
        1 for _, what in run.happened if isinstance(what, Match) and any(leg.wallet in wallets for leg in what.legs)
    )
    assert 8_000 < trades / hours < 13_000


async def test_a_leader_trades_in_bursts_but_never_more_than_twelve_times_a_second() -> None:
    run = await _run()
    own = run.leaders[0].wallet
    times = [at for at, what in run.happened if isinstance(what, Match) and any(leg.wallet == own for leg in what.legs)]
    assert max(Counter(at // 1_000 for at in times).values()) <= 12
    assert sum(1 for before, after in pairwise(times) if after - before < 1_000) > len(times) // 4


async def test_many_leader_trades_are_below_a_dollar_and_a_few_are_huge() -> None:
    cash = sorted(leg.cash_micros for leg in await _leader_legs())
    assert 2 < 100 * sum(1 for each in cash if each < ONE) / len(cash) < 40
    assert cash[-1] > 10_000 * ONE


async def test_positions_turn_over() -> None:
    legs = await _leader_legs()
    assert 0.3 < sum(1 for leg in legs if leg.side == "SELL") / len(legs) < 0.55


async def test_money_of_a_leader_has_the_quantiles_of_the_style() -> None:
    legs = await _leader_legs()
    for leader in (await _run()).leaders[:6]:
        _least, low, middle, high, _most, _largest = leader.style.cents
        cents = sorted(leg.cash_micros // 10_000 for leg in legs if leg.wallet == leader.wallet and leg.side == "BUY")
        assert low * 0.4 < cents[len(cents) // 2] < high * 1.5, (leader.name, middle)


async def test_everything_but_trades_happens_too() -> None:
    kinds = {what.kind for _, what in (await _run()).happened if isinstance(what, Move)}
    assert kinds == {"SPLIT", "MERGE", "REDEEM", "CONVERSION", "TRANSFER", "REWARD"}


async def test_both_versions_and_neg_risk_are_traded() -> None:
    assert {(match.version, match.neg_risk) for match in await _matches()} == {
        ("v1", False),
        ("v1", True),
        ("v2", False),
    }


async def test_markets_open_and_end_and_what_is_left_of_them_is_redeemed() -> None:
    run = await _run()
    ended = [what for _, what in run.happened if isinstance(what, MarketEnd)]
    assert ended
    assert len(ended) == sum(1 for _, what in run.happened if isinstance(what, NewMarket))
    held = [run.world.truth.held(leader.wallet, ended[0].winner) for leader in run.leaders]
    assert held == [0] * len(held)


async def test_ids_of_version_two_have_the_form_of_positions() -> None:
    for market in make_markets(3):
        reserved = [token >> 40 & (2**64 - 1) for token in market.token_ids]
        assert (reserved == [0, 0]) is (market.version == "v2")
        if market.version == "v2":
            assert [token >> 248 for token in market.token_ids] == [1, 1]
            assert market.condition_id == f"0x{market.token_ids[0] >> 8:062x}00"
            assert [token & 0xFF for token in market.token_ids] == [0, 1]


def test_more_leaders_keep_the_first_ones() -> None:
    few, many = make_leaders(1, 8), make_leaders(1, 300)
    assert many[:8] == few
    assert len({each.wallet for each in many}) == 300
