"""Writes about markets and positions, inside the caller's transaction."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from django.db import transaction
from django.db.models import QuerySet

from execution.gamma import MarketDescription
from execution.models import Market, Position
from ledger.questions import Asked, Question
from ledger.rows import new_row
from ledger.sql import compare_and_set, upsert_rows
from ledger.units import ONE


class NamesMarket(Protocol):
    """A row of a leader's trade as far as it names its market."""

    @property
    def condition_id(self) -> str:
        """The condition."""
        ...

    @property
    def token_id(self) -> int | None:
        """The token traded, if the row has one."""
        ...

    @property
    def outcome_index(self) -> int | None:
        """0 or 1 where known."""
        ...

    @property
    def outcome(self) -> str:
        """The outcome's name."""
        ...

    @property
    def title(self) -> str:
        """The market's title."""
        ...

    @property
    def slug(self) -> str:
        """The market's slug."""
        ...


@dataclass(slots=True)
class Held:
    """A follower's position of one token while its row is locked; micros."""

    condition_id: str
    size_micros: int = 0
    reserved_micros: int = 0
    cost_micros: int = 0
    realised_micros: int = 0
    fees_micros: int = 0

    @property
    def free_micros(self) -> int:
        """What a new sell may reserve."""
        return self.size_micros - self.reserved_micros


PositionKey = tuple[int, int]
"""(follower id, token id); sorting by it is the order of locking."""


def lock_positions(keys: Iterable[PositionKey]) -> dict[PositionKey, Held]:
    """Lock the existing rows of these positions in (follower, token) order."""
    wanted = set(keys)
    if not wanted:
        return {}
    found = _POSITIONS.rows({key[0] for key in wanted}, {key[1] for key in wanted})
    return {(row[0], row[1]): Held(*row[2:]) for row in found if (row[0], row[1]) in wanted}


_SUMS = ("cost_micros", "realised_micros", "fees_micros")
_POSITIONS = Question(
    lambda followers, tokens: (
        Position.objects.select_for_update()
        .filter(follower_id__among=followers, token_id__among=tokens)
        .order_by("follower_id", "token_id")
        .values_list(*("follower_id", "token_id", "condition_id", "size_micros", "reserved_micros"), *_SUMS)
    )
)


def create_positions(wanted: Mapping[PositionKey, str]) -> None:
    """Create the missing ones of these positions (key to condition id), empty, before any of them is locked.

    A row that does not exist cannot be locked: two fills that are each the first of a token would both begin at
    nothing, and the second would overwrite the first.
    """
    if not wanted:
        return
    known = Position.objects.filter(
        follower_id__among={key[0] for key in wanted}, token_id__among={key[1] for key in wanted}
    )
    missing = wanted.keys() - set(known.values_list("follower_id", "token_id"))
    rows = [new_row(Position, follower_id=key[0], token_id=key[1], condition_id=wanted[key]) for key in sorted(missing)]
    upsert_rows(Position, rows, unique=("follower", "token_id"), update=())


def write_positions(positions: Mapping[PositionKey, Held]) -> None:
    """Write locked (or new) positions back."""
    columns = ("size_micros", "reserved_micros", "cost_micros", "realised_micros", "fees_micros")
    rows = [
        new_row(
            Position,
            follower_id=key[0],
            token_id=key[1],
            condition_id=held.condition_id,
            **{name: getattr(held, name) for name in columns},
        )
        for key, held in sorted(positions.items())
    ]
    upsert_rows(Position, rows, unique=("follower", "token_id"), update=columns)


TokensOfMarkets = Mapping[str, tuple[int | None, ...]]
"""The tokens of markets by condition; None where an outcome was not met yet."""


def ask_named_markets(rows: Iterable[NamesMarket]) -> Asked[TokensOfMarkets]:
    """What is known of the markets that these rows name."""
    named = {row.condition_id for row in rows if row.condition_id and row.token_id is not None}
    return _MARKET_TOKENS.ask(named, read=lambda found: {row[0]: row[1:] for row in found})


def learn_markets(rows: Sequence[NamesMarket], tokens: TokensOfMarkets | None = None) -> None:
    """Create Market rows for conditions met first in a trade, and fill in outcomes met later.

    `tokens` is what `ask_named_markets` answered to whoever has asked already. Of a market learned this way the venue
    has said no term yet.
    """
    tokens = ask_named_markets(rows).answer() if tokens is None else tokens
    named: dict[str, dict[int, NamesMarket]] = {}
    for row in rows:
        if row.condition_id and row.token_id is not None:
            # A row that does not say its outcome still names the market.
            named.setdefault(row.condition_id, {}).setdefault(
                row.outcome_index if row.outcome_index in (0, 1) else -1, row
            )
    new = [_filled(Market(condition_id=key), by_index) for key, by_index in sorted(named.items()) if key not in tokens]
    upsert_rows(Market, new, unique=("condition_id",), update=())
    news = [
        key
        for key, known in tokens.items()
        if key in named and any(each is None and n in named[key] for n, each in enumerate(known))
    ]
    known_rows = Market.objects.filter(condition_id__among=set(news)) if news else ()
    filled = [_filled(market, named[market.condition_id]) for market in known_rows]
    compare_and_set(
        Market,
        match=("id",),
        assign=_TOKENS,
        rows=[(row.pk, *(getattr(row, name) for name in _TOKENS)) for row in filled],
    )


_MARKET_TOKENS = Question(
    lambda conditions: Market.objects.filter(condition_id__among=conditions).values_list(
        "condition_id", "first_token_id", "second_token_id"
    )
)
_TOKENS = ("first_token_id", "second_token_id", "first_outcome", "second_outcome")


def change_tick(condition_id: str, tick_micros: int) -> tuple[int, ...] | None:
    """Note the venue's new tick of a market; its tokens, or None if that changed nothing or the market is unknown.

    The tick must be one that the venue uses.
    """
    with transaction.atomic():
        rows = Market.objects.select_for_update().filter(condition_id=condition_id).exclude(tick_micros=tick_micros)
        return _change_market(rows, lambda _market: {"tick_micros": tick_micros})


def close_market(condition_id: str, winning_token: int | None) -> tuple[int, ...] | None:
    """Note that a market is resolved; its tokens, or None if that changed nothing or the market is unknown.

    With the winner known its share is worth one pUSD, and the other outcome's nothing.
    """

    def changes(market: Market) -> dict[str, object]:
        tokens = (market.first_token_id, market.second_token_id)
        worth = {}
        if winning_token is not None and winning_token in tokens:
            worth = {
                f"{place}_price_micros": ONE if token == winning_token else 0
                for place, token in zip(("first", "second"), tokens, strict=True)
            }
        return {"closed": True, "accepting_orders": False, **worth}

    with transaction.atomic():
        return _change_market(Market.objects.select_for_update().filter(condition_id=condition_id), changes)


def _change_market(rows: QuerySet[Market], changes: Callable[[Market], dict[str, object]]) -> tuple[int, ...] | None:
    market = rows.first()
    if market is None:
        return None
    new = {name: value for name, value in changes(market).items() if getattr(market, name) != value}
    if not new:
        return None
    Market.objects.filter(pk=market.pk).update(**new)
    return tuple(token for token in (market.first_token_id, market.second_token_id) if token is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """How many markets a load met for the first time, changed, and found as they were."""

    new: int = 0
    changed: int = 0
    same: int = 0


def load_markets(descriptions: Sequence[MarketDescription], now: datetime) -> Loaded:
    """Write what the venue says about these markets, and when it was read, in one short transaction.

    What a description leaves out stays as it is, said or not, and so do the operator's limits; a fee that it says
    there is, but not which, is unlearned. Of several descriptions of a market the last one wins, fact by fact. A few
    hundred at a time: the rows are locked until the end.
    """
    wanted: dict[str, dict[str, object]] = {}
    for each in descriptions:
        wanted.setdefault(each.condition_id, {}).update(_known_columns(each))
    with transaction.atomic():
        found = set(Market.objects.filter(condition_id__in=list(wanted)).values_list("condition_id", flat=True))
        missing = [Market(condition_id=key) for key in sorted(wanted.keys() - found)]
        # Created bare and locked then: a row that a trade creates meanwhile keeps what it has learned.
        Market.objects.bulk_create(missing, ignore_conflicts=True)
        locked = Market.objects.select_for_update().filter(condition_id__in=list(wanted)).order_by("condition_id")
        rows = list(locked)
        differing = {row.condition_id for row in rows if _described(row, wanted[row.condition_id], now)}
        for row in rows:
            # The conflict to find is that of the condition, and SQLite would meet that of the key first.
            row.pk = None
        upsert_rows(Market, rows, unique=("condition_id",), update=(*DESCRIBED, "loaded_at"))
    return Loaded(new=len(missing), changed=len(found & differing), same=len(found - differing))


DESCRIBED = (
    *("version", "title", "slug", "category", "neg_risk", "accepting_orders", "closed", "ends_at"),
    *("tick_micros", "min_size_micros", "fee_rate_bps", "fee_exponent", "liquidity_micros", "volume_micros"),
    *("first_token_id", "second_token_id", "first_outcome", "second_outcome"),
    *("first_price_micros", "second_price_micros"),
)
"""The columns of a market that its description may fill."""


def _known_columns(each: MarketDescription) -> dict[str, object]:
    columns: dict[str, object] = {
        name: value for name in DESCRIBED if (value := getattr(each, name, None)) is not None and value != ""
    }
    pairs = (("token_id", each.tokens), ("outcome", each.outcomes), ("price_micros", each.prices_micros))
    for name, pair in pairs:
        if pair is not None:
            named = zip(("first", "second"), pair, strict=True)
            columns |= {f"{place}_{name}": value for place, value in named if value != ""}
    if each.fee_withheld:
        columns["fee_rate_bps"] = None
    if each.fee is not None:
        columns |= {"fee_rate_bps": each.fee.rate_bps, "fee_exponent": each.fee.exponent}
    return columns


def _described(row: Market, columns: Mapping[str, object], now: datetime) -> bool:
    """Set the columns; whether one of them had another value."""
    changed = any(getattr(row, name) != value for name, value in columns.items())
    for name, value in columns.items():
        setattr(row, name, value)
    row.loaded_at = now
    return changed


def _filled(market: Market, by_index: Mapping[int, NamesMarket]) -> Market:
    some = next(iter(by_index.values()))
    market.title, market.slug = market.title or some.title, market.slug or some.slug
    if market.first_token_id is None and 0 in by_index:
        market.first_token_id, market.first_outcome = by_index[0].token_id, by_index[0].outcome
    if market.second_token_id is None and 1 in by_index:
        market.second_token_id, market.second_outcome = by_index[1].token_id, by_index[1].outcome
    return market
