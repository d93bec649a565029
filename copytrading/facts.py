"""Gathers what the decisions look at: configs and markets from a short-lived cache, the rest fresh, in one hop."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol

from copytrading.batches import Batch, Subscribers
from copytrading.breaker_watch import NOTHING_HELD, Breakers, HeldBack
from copytrading.config_index import ConfigIndex
from copytrading.decide import Config, CopyFacts, Direction, SignalFacts, against
from copytrading.operations.prewrite import ask_decided_pairs
from copytrading.queries import already_decided, ask_overtaken_buys, carried
from copytrading.sizing import NOTHING_YET, OF_BANKROLL, Already, BelowMinimum
from copytrading.states import ON_THE_VENUE
from copytrading.under_way import NOTHING_UNDER_WAY, UnderWay, ask_under_way
from execution.accounts import AccountFacts, Holding
from execution.preflight import MarketTerms
from execution.queries import MarketFacts, ask_accounts, ask_markets, bankrolls, holdings
from execution.terms import KnownTerms
from guardrails.budgets import Bound, BudgetKey, BudgetScope, PeriodBounds, bounded
from guardrails.intents import Facts, Limits
from guardrails.queries import Switches, ask_switches
from ledger.clock import Clock
from ledger.db import Database
from ledger.questions import Asked, together
from ledger.units import Micros, Side

UNKNOWN_MARKET = MarketFacts(terms=MarketTerms(accepting_orders=False, closed=True), bounds=PeriodBounds())
"""A market without a row: refused, because nothing of it is known."""

NOTHING = Micros(0)

CLOCKS_DIFFER = timedelta(minutes=1)
"""At most, between the chain, whose times trades have, and this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorBounds:
    """What the operator's settings say for everybody; see `config.settings` for units and reasons.

    `real_trading`: this engine has a way to the venue, and may use it.
    """

    stale_after_s: int | None
    dry_run: bool
    allowlist: frozenset[str]
    limits: Limits
    global_bounds: PeriodBounds
    market_bounds: PeriodBounds
    real_trading: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """The facts of one batch; `decided` pairs have a copy already.

    `overtaken` buys have a later sale of the leader's that was heard before them. `opposite` has, by signal id, the
    signals as those against the leader trade them; `bankrolls` are of the followers whose sizing asks for it, `carried`
    of the configs that accumulate. `accounts` are those of followers who trade on the venue, `under_way` is what these
    have there. `older_by_s`, by config and signal, of copies that had to wait: so many seconds older they may be.
    """

    operator: OperatorBounds
    switches: Switches
    markets: Mapping[str, MarketFacts]
    already: Mapping[tuple[int, str], Already]
    holdings: Mapping[tuple[int, int], Micros]
    opposite: Mapping[int, SignalFacts | None]
    bankrolls: Mapping[int, Micros]
    carried: Mapping[tuple[int, int], int]
    decided: frozenset[tuple[int, int]]
    overtaken: frozenset[int]
    rule_base: Facts
    held_back: HeldBack = NOTHING_HELD
    accounts: Mapping[int, AccountFacts] = field(default_factory=dict)
    under_way: UnderWay = NOTHING_UNDER_WAY
    older_by_s: Mapping[tuple[int, int], int] = field(default_factory=dict)

    def account_of(self, config: Config) -> AccountFacts | None:
        """The account that the follower's orders go through; None on paper, and where there is none."""
        return self.accounts.get(config.follower_id) if config.mode == ON_THE_VENUE else None

    def market(self, condition_id: str) -> MarketFacts:
        """The market, or one that is closed when it is unknown."""
        return self.markets.get(condition_id, UNKNOWN_MARKET)

    def seen_by(self, signal: SignalFacts, config: Config) -> SignalFacts | None:
        """The signal as this follower trades it; None where the token against the leader is unknown."""
        # An exit already names the token that the follower holds.
        if config.direction is Direction.SAME or signal.only_config is not None:
            return signal
        return self.opposite[signal.signal_id]

    def rule_facts(self, signal: SignalFacts, config: Config) -> Facts:
        """What the rules may look at for this pair."""
        operator, on = self.operator, self.switches
        return Facts(
            now=self.rule_base.now,
            global_pause=on.global_pause,
            follower_paused=on.follower_paused(config.follower_id),
            leader_paused=on.leader_paused(config.leader_id),
            market_paused=on.market_paused(signal.condition_id),
            breaker_open=self.held_back.holds(signal.side, config.follower_id, config.mode),
            follower_allowed=not operator.allowlist or config.follower_wallet in operator.allowlist,
            dry_run=operator.dry_run or on.dry_run(config.follower_id, config.leader_id),
        )

    def copy_facts(self, signal: SignalFacts, config: Config) -> CopyFacts:
        """All that `decide_copy` may look at for this pair."""
        market = self.market(signal.condition_id)
        return CopyFacts(
            rule_facts=self.rule_facts(signal, config),
            limits=self.operator.limits,
            market=market.terms,
            about=market.about,
            bankroll_micros=self.bankrolls.get(config.follower_id),
            carried_micros=self.carried.get((config.config_id, signal.token_id), 0),
            already=self.already.get((config.config_id, signal.group_key), NOTHING_YET),
            held_micros=self.holdings.get((config.follower_id, signal.token_id), NOTHING),
            stale_after_s=self._stale_after_s(signal, config),
            sold_already=signal.signal_id in self.overtaken,
            account=self.account_of(config),
            real_trading=self.operator.real_trading,
        )

    def _stale_after_s(self, signal: SignalFacts, config: Config) -> int | None:
        stale_after_s = self.operator.stale_after_s
        if stale_after_s is None:
            return None
        return stale_after_s + self.older_by_s.get((config.config_id, signal.signal_id), 0)

    def budgets(self, signal: SignalFacts, config: Config) -> tuple[tuple[BudgetKey, Bound], ...]:
        """The bounded budgets that a buy of this pair takes from."""
        if signal.side is Side.SELL:
            return ()
        now = self.rule_base.now
        market = _first_set(self.market(signal.condition_id).bounds, self.operator.market_bounds)
        return (
            *bounded(BudgetScope.FOLLOWER, str(config.follower_id), config.follower_bounds, now=now),
            *bounded(BudgetScope.GLOBAL, "", self.operator.global_bounds, now=now),
            *bounded(BudgetScope.LEADER, str(config.leader_id), config.leader_bounds, now=now),
            *bounded(BudgetScope.MARKET, signal.condition_id, market, now=now),
        )


class MarketsReady(Protocol):
    """Whoever fetches what is unknown of markets."""

    async def ready(self, condition_ids: Collection[str]) -> bool:
        """Return when the rows of these hold what the venue says, or after a bounded wait; False: it knew them all."""
        ...


class VenueFunds(Protocol):
    """Whoever knows what accounts have on the venue."""

    async def of_buyers(self, accounts: Collection[AccountFacts]) -> Mapping[int, AccountFacts]:
        """The same accounts by follower with their money; what could not be read stays None."""
        ...

    async def of_sellers(self, wanted: Collection[Holding]) -> Mapping[tuple[int, int], Micros]:
        """What of these free shares the venue has too, by (follower, token), read anew for this question."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherDoors:
    """Where facts are read; `ready` None where there is no venue to ask, `funds` None where nobody trades on it."""

    database: Database
    clock: Clock
    terms: KnownTerms
    breakers: Breakers
    index: ConfigIndex
    ready: MarketsReady | None = None
    funds: VenueFunds | None = None


class Gatherer:
    """Reads facts for batches; markets may be as old as `cache_ms`, configs as the index lets them be."""

    def __init__(self, doors: GatherDoors, *, operator: OperatorBounds, cache_ms: int) -> None:
        self._database, self._clock, self._operator, self._cache_ms = doors.database, doors.clock, operator, cache_ms
        self._terms, self._breakers, self._index = doors.terms, doors.breakers, doors.index
        self._ready, self._funds = doors.ready, doors.funds
        self._markets: dict[str, MarketFacts] = {}
        self._since_ms = doors.clock.monotonic_ms()

    async def configs(self, leader_ids: Iterable[int]) -> Subscribers:
        """Active configs of these leaders, in the order of granting."""
        return await self._index.of_leaders(leader_ids)

    async def reread_configs(self) -> bool:
        """Read all configs anew, because a row was not as they say; whether there was news."""
        return await self._index.reread()

    async def gather(self, batch: Batch) -> Gathered:
        """Everything else that this batch needs, read on one connection."""
        self._forget_old()
        await self._breakers.ready()
        if self._ready is not None:
            conditions = {signal.condition_id for signal in batch.signals}
            if await self._ready.ready(conditions):
                # What was read before says nothing any more.
                self._markets = {key: facts for key, facts in self._markets.items() if key not in conditions}
        gathered = await self._database.run(self._read, batch, self._breakers.held_back())
        if self._funds is not None and gathered.accounts:
            gathered = await _with_funds(self._funds, batch, gathered)
        for signal in batch.signals:
            market = gathered.market(signal.condition_id)
            self._terms.note(signal.token_id, market.terms)
            other = gathered.opposite.get(signal.signal_id)
            if other is not None:
                self._terms.note(other.token_id, market.terms)
        return gathered

    def _read(self, batch: Batch, held_back: HeldBack) -> Gathered:
        conditions = {signal.condition_id for signal in batch.signals}
        traders = _on_the_venue(batch) if self._funds is not None else set()
        now = self._clock.now()
        with together():
            markets = ask_markets(conditions - self._markets.keys())
            switches = ask_switches()
            decided = ask_decided_pairs([signal.signal_id for signal in batch.signals])
            overtaken = self._ask_overtaken(batch)
            accounts, under_way = ask_accounts(traders, now=now), ask_under_way(traders)
        self._markets |= markets.answer()
        opposite = self._opposite(batch)
        seen = [*batch.signals, *(each for each in opposite.values() if each is not None)]
        return Gathered(
            operator=self._operator,
            switches=switches.answer(),
            markets={key: self._markets[key] for key in conditions if key in self._markets},
            already=already_decided(batch.signals),
            holdings=_holdings(batch, seen),
            opposite=opposite,
            bankrolls=bankrolls({c.follower_id for _s, c in batch.pairs if c.terms.sizing in OF_BANKROLL}),
            carried=_carried(batch, seen),
            decided=frozenset(decided.answer()),
            overtaken=overtaken.answer() if overtaken else frozenset(),
            rule_base=Facts(now=self._clock.now()),
            held_back=held_back,
            accounts=accounts.answer(),
            under_way=under_way.answer(),
        )

    def _ask_overtaken(self, batch: Batch) -> Asked[frozenset[int]] | None:
        """Asked live only: a replay shows everything in its order."""
        stale_after_s = self._operator.stale_after_s
        if stale_after_s is None:
            return None
        since = self._clock.now() - timedelta(seconds=stale_after_s) - CLOCKS_DIFFER
        return ask_overtaken_buys(batch.signals, since=since)

    def _opposite(self, batch: Batch) -> dict[int, SignalFacts | None]:
        if not any(config.direction is Direction.COUNTER for _signal, config in batch.pairs):
            return {}
        found: dict[int, SignalFacts | None] = {}
        for signal in batch.signals:
            market = self._markets.get(signal.condition_id, UNKNOWN_MARKET)
            found[signal.signal_id] = against(signal, market.complement_of(signal.token_id))
        return found

    def _forget_old(self) -> None:
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._since_ms > self._cache_ms:
            self._markets, self._since_ms = {}, now_ms


def _on_the_venue(batch: Batch) -> set[int]:
    return {config.follower_id for _signal, config in batch.pairs if config.mode == ON_THE_VENUE}


async def _with_funds(funds: VenueFunds, batch: Batch, gathered: Gathered) -> Gathered:
    """The facts with what those accounts have on the venue that may trade, all read side by side."""
    buyers: dict[int, AccountFacts] = {}
    sold: dict[tuple[int, int], Holding] = {}
    for signal, config in batch.pairs:
        account = gathered.account_of(config)
        seen = gathered.seen_by(signal, config)
        if account is None or seen is None or account.refusals:
            continue
        if seen.side is Side.BUY:
            buyers[account.follower_id] = account
        elif free := gathered.holdings.get((account.follower_id, seen.token_id)):
            version = gathered.market(signal.condition_id).terms.version
            key = (account.follower_id, seen.token_id)
            sold[key] = Holding(account=account, token_id=seen.token_id, version=version, free_micros=free)
    money, shares = await asyncio.gather(funds.of_buyers(buyers.values()), funds.of_sellers(sold.values()))
    return replace(gathered, accounts={**gathered.accounts, **money}, holdings={**gathered.holdings, **shares})


def _holdings(batch: Batch, seen: Sequence[SignalFacts]) -> dict[tuple[int, int], Micros]:
    followers = {config.follower_id for signal, config in batch.pairs if signal.side is Side.SELL}
    return holdings(followers, {each.token_id for each in seen if each.side is Side.SELL}) if followers else {}


def _carried(batch: Batch, seen: Sequence[SignalFacts]) -> dict[tuple[int, int], int]:
    carrying = {c.config_id for _s, c in batch.pairs if c.terms.below_minimum is BelowMinimum.ACCUMULATE}
    return carried(carrying, {each.token_id for each in seen}) if carrying else {}


def _first_set(own: PeriodBounds, default: PeriodBounds) -> PeriodBounds:
    return PeriodBounds(
        hourly_micros=own.hourly_micros if own.hourly_micros is not None else default.hourly_micros,
        daily_micros=own.daily_micros if own.daily_micros is not None else default.daily_micros,
        hourly_count=own.hourly_count if own.hourly_count is not None else default.hourly_count,
        daily_count=own.daily_count if own.daily_count is not None else default.daily_count,
    )
