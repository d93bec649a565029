"""A follower's filters over what a market is about. Pure.

A filter that is set and whose fact is unknown refuses (example 19); one that is not set never refuses.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from execution.about import MarketAbout, category_key, phrase_key
from guardrails.intents import Reason, Refusal, Unit

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterTerms:
    """What a follower asks of a market; None and empty are no filter. Built once when the config is read.

    `categories` and `keywords` are alternatives: one of them must fit. The other fields are made from these.
    """

    max_days_out: int | None = None
    min_liquidity_micros: int | None = None
    min_volume_micros: int | None = None
    categories: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    any_set: bool = field(init=False)
    category_keys: frozenset[str] = field(init=False)
    phrases: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        numbers = (self.max_days_out, self.min_liquidity_micros, self.min_volume_micros)
        anything = any(number is not None for number in numbers) or bool(self.categories or self.keywords)
        object.__setattr__(self, "any_set", anything)
        object.__setattr__(self, "category_keys", frozenset(map(category_key, self.categories)) - {""})
        # A keyword without a word fits no title; were it dropped with its filter, the filter would let all pass.
        object.__setattr__(self, "phrases", tuple(filter(None, map(phrase_key, self.keywords))))


NO_FILTERS = FilterTerms()
"""Lets every market pass."""


def market_filter_refusals(terms: FilterTerms, about: MarketAbout, *, now: datetime) -> tuple[Refusal, ...]:
    """Every filter that this market does not pass, in a fixed order."""
    if not terms.any_set:
        return ()
    found = (
        _days_out(terms.max_days_out, about.ends_at, now),
        _at_least(terms.min_liquidity_micros, about.liquidity_micros, Reason.MIN_LIQUIDITY, subject="liquidity"),
        _at_least(terms.min_volume_micros, about.volume_micros, Reason.MIN_VOLUME, subject="volume"),
        _category(terms, about),
        _keyword(terms, about),
    )
    return tuple(refusal for refusal in found if refusal is not None)


def days_out(ends_at: datetime, now: datetime) -> int:
    """Whole days until the end, rounded up so that a bound is never passed unseen; 0 or less when it has ended."""
    return -((now - ends_at) // _DAY)


def _days_out(most: int | None, ends_at: datetime | None, now: datetime) -> Refusal | None:
    if most is None:
        return None
    if ends_at is None:
        return _missing("end date")
    # A market that has ended passes: whether it still takes orders is another rule's business.
    days = days_out(ends_at, now)
    return Refusal(Reason.MAX_DAYS_OUT, days, most, Unit.DAYS) if days > max(most, 0) else None


def _at_least(least: int | None, value: int | None, reason: Reason, *, subject: str) -> Refusal | None:
    if least is None:
        return None
    if value is None:
        return _missing(subject)
    return Refusal(reason, value, least, Unit.MONEY) if value < least else None


def _category(terms: FilterTerms, about: MarketAbout) -> Refusal | None:
    if not terms.categories:
        return None
    if not about.category_key:
        return _missing("category")
    if about.category_key in terms.category_keys:
        return None
    return Refusal(Reason.CATEGORY_FILTERED, subject=about.category)


def _keyword(terms: FilterTerms, about: MarketAbout) -> Refusal | None:
    if not terms.keywords:
        return None
    if not about.title:
        return _missing("title")
    title = about.phrases
    return None if any(phrase in title for phrase in terms.phrases) else Refusal(Reason.KEYWORD_FILTERED)


def _missing(fact: str) -> Refusal:
    return Refusal(Reason.FACT_MISSING, subject=fact)
