"""Reads about markets and positions, returned as frozen values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Q, Sum

from execution.about import UNKNOWN_ABOUT, MarketAbout
from execution.accounts import AccountFacts, Standing, standing_refusals
from execution.fees import NO_FEE, FeeTerms
from execution.models import Market, Position, TradingAccount
from execution.orders import ExchangeDomain
from execution.preflight import ORDER_FACTS, USUAL_TICK, USUAL_VERSION, MarketTerms
from guardrails.budgets import PeriodBounds
from ledger.models import CashBalance
from ledger.questions import Asked, Question, Row
from ledger.units import Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketFacts:
    """A market's order terms, the operator's own bounds for it, what it is about, and its two tokens."""

    terms: MarketTerms
    bounds: PeriodBounds
    about: MarketAbout = UNKNOWN_ABOUT
    first_token_id: int | None = None
    second_token_id: int | None = None
    first_price_micros: Micros | None = None
    second_price_micros: Micros | None = None

    def complement_of(self, token_id: int) -> int | None:
        """The market's other token; None for a token that is not one of the two, or while the other is not known."""
        if token_id == self.first_token_id:
            return self.second_token_id
        return self.first_token_id if token_id == self.second_token_id else None

    def price_of(self, token_id: int) -> Micros | None:
        """What the venue's description said a share of this token is worth; None when it is not known."""
        if token_id == self.first_token_id:
            return self.first_price_micros
        return self.second_price_micros if token_id == self.second_token_id else None


def markets(condition_ids: Iterable[str]) -> dict[str, MarketFacts]:
    """The known ones among these markets."""
    return ask_markets(condition_ids).answer()


def ask_markets(condition_ids: Iterable[str]) -> Asked[dict[str, MarketFacts]]:
    """`markets`, to be answered later."""
    return _MARKETS.ask(set(condition_ids), read=_markets)


def _markets(rows: Sequence[Row]) -> dict[str, MarketFacts]:
    return {row.condition_id: _facts(row) for row in (_MarketRow(*row) for row in rows)}


def fee_of_token(token_id: int) -> FeeTerms | None:
    """The taker fee of the market with this token; None while the market is not known, or the venue has not said it."""
    of_token = Q(first_token_id=token_id) | Q(second_token_id=token_id)
    row = Market.objects.filter(of_token).values_list("fee_rate_bps", "fee_exponent").first()
    return None if row is None else _fee(*row)


class ShareToken(NamedTuple):
    """A token, and the version of its market, which says where its shares are."""

    token_id: int
    version: str


def tokens_of_exchanges() -> dict[ExchangeDomain, ShareToken]:
    """For each exchange the first token of the newest open market that is traded there, as the venue described it."""
    described = Market.objects.filter(closed=False, loaded_at__isnull=False, first_token_id__isnull=False)
    older, newer = described.filter(version="v1"), described.filter(version="v2")
    kinds = {
        ExchangeDomain.CTF_V2: older.filter(neg_risk=False),
        ExchangeDomain.NEG_RISK_V2: older.filter(neg_risk=True),
        ExchangeDomain.V3: newer,
    }
    newest = {domain: rows.order_by("-pk").first() for domain, rows in kinds.items()}
    return {
        domain: ShareToken(market.first_token_id, market.version)
        for domain, market in newest.items()
        if market is not None and market.first_token_id is not None
    }


def holdings(follower_ids: Iterable[int], token_ids: Iterable[int]) -> dict[tuple[int, int], Micros]:
    """Free shares by (follower, token): held and not reserved by an open sell."""
    found = _HOLDINGS.rows(set(follower_ids), set(token_ids))
    return {(follower, token): Micros(size - reserved) for follower, token, size, reserved in found}


_HOLDINGS = Question(
    lambda followers, tokens: Position.objects.filter(follower_id__among=followers, token_id__among=tokens).values_list(
        "follower_id", "token_id", "size_micros", "reserved_micros"
    )
)


def bankrolls(follower_ids: Iterable[int]) -> dict[int, Micros]:
    """All that these followers have: cash, also its reserved part, and open positions at what they cost.

    No id, no query.
    """
    wanted = set(follower_ids)
    if not wanted:
        return {}
    cash = dict(CashBalance.objects.filter(follower_id__in=wanted).values_list("follower_id", "cash_micros"))
    held = Position.objects.filter(follower_id__in=wanted, size_micros__gt=0).values_list("follower_id")
    costs = dict(held.annotate(cost=Sum("cost_micros")).values_list("follower_id", "cost"))
    return {each: Micros(max(0, cash.get(each, 0) + costs.get(each, 0))) for each in wanted}


def accounts(follower_ids: Iterable[int], *, now: datetime) -> dict[int, AccountFacts]:
    """The trading accounts of these followers, what they have on the venue left out. No id, no query."""
    return ask_accounts(follower_ids, now=now).answer()


def ask_accounts(follower_ids: Iterable[int], *, now: datetime) -> Asked[dict[int, AccountFacts]]:
    """`accounts`, to be answered later."""
    return _ACCOUNTS.ask(set(follower_ids), read=lambda rows: {row[0]: _account(row, now) for row in rows})


def reserved_shares(follower_ids: Iterable[int], token_ids: Iterable[int]) -> dict[tuple[int, int], int]:
    """Shares that open sales have reserved, by (follower, token); without a position there is no entry."""
    rows = Position.objects.filter(follower_id__among=set(follower_ids), token_id__among=set(token_ids))
    found = rows.values_list("follower_id", "token_id", "reserved_micros")
    return {(follower, token): reserved for follower, token, reserved in found}


_ACCOUNT = (
    *("follower_id", "follower__wallet", "signer", "signature_type", "tier"),
    *("state", "stopped_why", "session_valid_until", "missing"),
    *("follower__cash__cash_micros", "follower__cash__reserved_micros"),
)


_ACCOUNTS = Question(lambda ids: TradingAccount.objects.filter(follower_id__among=ids).values_list(*_ACCOUNT))


def _account(row: tuple[Any, ...], now: datetime) -> AccountFacts:
    follower_id, wallet, signer, signature_type, tier, state, why, valid_until, missing, booked, reserved = row
    standing = Standing(
        stopped=state == TradingAccount.State.STOPPED,
        stopped_why=why,
        valid_until=valid_until,
        missing=None if missing is None else [each["sentence"] for each in missing if each["blocks"]],
    )
    return AccountFacts(
        follower_id=follower_id,
        wallet=wallet,
        signer=signer,
        signature_type=signature_type,
        tier=tier,
        refusals=standing_refusals(standing, now),
        unsellable=frozenset(each["no_exit"] for each in missing or () if each.get("no_exit")),
        booked_micros=booked or 0,
        reserved_micros=reserved or 0,
    )


class _MarketRow(NamedTuple):
    """A market's columns that decisions look at, by the models' names."""

    condition_id: str
    tick_micros: int | None
    min_size_micros: int
    accepting_orders: bool
    closed: bool
    version: str
    neg_risk: bool | None
    fee_rate_bps: int | None
    fee_exponent: int
    hourly_limit_micros: int | None
    daily_limit_micros: int | None
    hourly_limit_count: int | None
    daily_limit_count: int | None
    ends_at: datetime | None
    liquidity_micros: int | None
    volume_micros: int | None
    category: str
    title: str
    first_token_id: int | None
    second_token_id: int | None
    first_price_micros: int | None
    second_price_micros: int | None


_MARKETS = Question(
    lambda conditions: Market.objects.filter(condition_id__among=conditions).values_list(*_MarketRow._fields)
)


def _facts(row: _MarketRow) -> MarketFacts:
    return MarketFacts(
        terms=_terms(row),
        bounds=_bounds(row),
        about=MarketAbout(
            ends_at=row.ends_at,
            liquidity_micros=_micros(row.liquidity_micros),
            volume_micros=_micros(row.volume_micros),
            category=row.category,
            title=row.title,
        ),
        first_token_id=row.first_token_id,
        second_token_id=row.second_token_id,
        first_price_micros=_micros(row.first_price_micros),
        second_price_micros=_micros(row.second_price_micros),
    )


def _terms(row: _MarketRow) -> MarketTerms:
    said = (row.version or None, row.neg_risk, row.tick_micros, row.fee_rate_bps)
    return MarketTerms(
        tick_micros=_micros(row.tick_micros) or USUAL_TICK,
        min_size_micros=Micros(row.min_size_micros),
        accepting_orders=row.accepting_orders,
        closed=row.closed,
        version=row.version or USUAL_VERSION,
        neg_risk=bool(row.neg_risk),
        fee=_fee(row.fee_rate_bps, row.fee_exponent) or NO_FEE,
        unsaid=tuple(fact for fact, value in zip(ORDER_FACTS, said, strict=True) if value is None),
    )


def _fee(rate_bps: int | None, exponent: int) -> FeeTerms | None:
    return None if rate_bps is None else FeeTerms(rate_bps=rate_bps, exponent=exponent)


def _bounds(row: _MarketRow) -> PeriodBounds:
    return PeriodBounds(
        hourly_micros=row.hourly_limit_micros,
        daily_micros=row.daily_limit_micros,
        hourly_count=row.hourly_limit_count,
        daily_count=row.daily_limit_count,
    )


def _micros(value: int | None) -> Micros | None:
    return None if value is None else Micros(value)
