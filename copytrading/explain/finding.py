"""Finds copies and signals by what a person types: one indexed lookup for each kind of text, never a whole table.

A person's or a market's rows are the newest so many, so that an answer costs the same however many rows there are.
"""

import re
from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q

from copytrading.models import CopyTrade, Follower, Leader, Signal, SignalGroup
from execution.models import Market
from guardrails.models import GuardrailEvent
from ledger.moments import newest_key

EVENTS_MAX = 5_000
"""Newest refusals for one reason whose copies a filter shows."""

OF_ONE_MAX = 1_000
"""Newest rows of one person or market that a search finds."""

SIGNALS_MAX = 100
"""Newest signals of one market or transaction whose copies a search finds."""

PEOPLE_MAX = 5
"""People whose name has the text; whoever has more finds them in the lists of people."""

NEWEST_KEYS = 20_000
"""How far a filter on a column without an index looks back."""

GONE_MAX = 1_000
"""Newest signals of leaders' trades that are gone from the chain."""

HELP = "The number of a copy, an order hash, a wallet, a market's condition id or slug, a transaction, or a name."

_HASH = re.compile(r"0x[0-9a-f]{64}")
_WALLET = re.compile(r"0x[0-9a-f]{40}")
_KEY = re.compile(r"[0-9]{1,18}")
_TOKEN = re.compile(r"[0-9]{19,78}")


def refused_for(reason: str) -> list[int]:
    """The copies of the newest refusals for this reason."""
    rows = GuardrailEvent.objects.filter(reason=reason, trade__isnull=False).order_by("-created_at")
    return list(rows.values_list("trade_id", flat=True)[:EVENTS_MAX])


def signals_gone() -> dict[int, datetime]:
    """The newest signals whose leader's transaction is not in the chain, and when that was found; two queries.

    Among the newest trades of leaders: no index is kept for what is so rare.
    """
    rows = SignalGroup.objects.filter(among_newest(SignalGroup), withdrawn_at__isnull=False).order_by("-pk")
    groups = {pk: at for pk, at in rows.values_list("pk", "withdrawn_at")[:GONE_MAX] if at is not None}
    signals = Signal.objects.filter(group_id__in=groups).order_by("-pk") if groups else Signal.objects.none()
    return {pk: groups[group] for pk, group in signals.values_list("pk", "group_id")[:GONE_MAX]}


def among_newest(model: type[CopyTrade | Signal | SignalGroup]) -> Q:
    """The newest NEWEST_KEYS rows, by their keys."""
    return Q(pk__gt=newest_key(model) - NEWEST_KEYS)


def copy_by_number(text: str) -> Q | None:
    """A copy by its own number."""
    return Q(pk=int(text)) if _KEY.fullmatch(text) else None


def copies_by_hash(text: str) -> Q | None:
    """Copies by their order hash, or those of a market or of a leader's transaction."""
    text = text.lower()
    if not _HASH.fullmatch(text):
        return None
    order = CopyTrade.objects.filter(order_hash=text).values_list("pk", flat=True).first()
    if order is not None:
        return Q(pk=order)
    return _copies_of(signals_of_transaction(text) or signals_of_market(condition_id=text))


def copies_by_token(text: str) -> Q | None:
    """Copies of a token."""
    return _copies_of(_signals_of_tokens([int(text)])) if _TOKEN.fullmatch(text) else None


def copies_by_wallet(text: str) -> Q | None:
    """Copies of a follower or of a leader."""
    text = text.lower()
    if not _WALLET.fullmatch(text):
        return None
    return _copies_of_people(Q(wallet=text))


def copies_by_name(text: str) -> Q:
    """Copies of people with this text in their name, or of the market with this slug."""
    signals = signals_of_market(slug=text.lower())
    return _copies_of(signals) if signals else _copies_of_people(Q(name__icontains=text))


def signals_of_transaction(tx_hash: str) -> list[int]:
    """Signals of a leader's transaction, newest first."""
    groups = list(SignalGroup.objects.filter(tx_hash=tx_hash).values_list("pk", flat=True)[:SIGNALS_MAX])
    rows = Signal.objects.filter(group_id__in=groups).order_by("-pk") if groups else Signal.objects.none()
    return list(rows.values_list("pk", flat=True)[:SIGNALS_MAX])


def signals_of_market(**by: str) -> list[int]:
    """The newest signals of the market with this condition id or slug."""
    tokens = Market.objects.filter(**by).values_list("first_token_id", "second_token_id").first()
    return _signals_of_tokens([token for token in tokens if token is not None]) if tokens else []


def _signals_of_tokens(tokens: Sequence[int]) -> list[int]:
    rows = Signal.objects.filter(token_id__in=tokens).order_by("-pk")
    return list(rows.values_list("pk", flat=True)[:SIGNALS_MAX])


def _copies_of(signals: Sequence[int]) -> Q:
    return Q(signal_id__in=signals)


def _copies_of_people(where: Q) -> Q:
    found: list[int] = []
    for name, model in (("follower_id", Follower), ("leader_id", Leader)):
        for person in model._default_manager.filter(where).values_list("pk", flat=True)[:PEOPLE_MAX]:
            rows = CopyTrade.objects.filter(**{name: person}).order_by("-pk")
            found += rows.values_list("pk", flat=True)[:OF_ONE_MAX]
    return Q(pk__in=found)


def _archived_by_number(text: str) -> Q | None:
    return Q(trade_id=int(text)) if _KEY.fullmatch(text) else None


def _archived_by_hash(text: str) -> Q:
    return Q(order_hash=text.lower())


def _signal_by_number(text: str) -> Q | None:
    return Q(pk=int(text)) if _KEY.fullmatch(text) else None


def _signals_by_hash(text: str) -> Q | None:
    text = text.lower()
    if not _HASH.fullmatch(text):
        return None
    return Q(pk__in=signals_of_transaction(text) or signals_of_market(condition_id=text))


def _signals_by_token(text: str) -> Q | None:
    return Q(token_id=int(text)) if _TOKEN.fullmatch(text) else None


def _group_by_number_or_hash(text: str) -> Q | None:
    if _KEY.fullmatch(text):
        return Q(pk=int(text))
    return Q(tx_hash=text.lower()) if _HASH.fullmatch(text.lower()) else None


def _group_by_key(text: str) -> Q | None:
    return Q(key=text.lower()) if re.fullmatch(r"[0-9a-f]{32}", text.lower()) else None


def _of_leaders(text: str) -> Q:
    leaders = Leader.objects.filter(Q(name__icontains=text) | Q(wallet=text.lower()))
    return Q(leader_id__in=list(leaders.values_list("pk", flat=True)[:PEOPLE_MAX]))


def _total_by_group(text: str) -> Q | None:
    if _HASH.fullmatch(text.lower()):
        return Q(group_id__in=list(SignalGroup.objects.filter(tx_hash=text.lower()).values_list("pk", flat=True)))
    return Q(group_id=int(text)) if _KEY.fullmatch(text) else None


COPY_FINDERS = (copy_by_number, copies_by_token, copies_by_hash, copies_by_wallet, copies_by_name)
ARCHIVE_FINDERS = (_archived_by_number, _archived_by_hash)
SIGNAL_FINDERS = (_signal_by_number, _signals_by_token, _signals_by_hash, _of_leaders)
GROUP_FINDERS = (_group_by_number_or_hash, _group_by_key, _of_leaders)
TOTAL_FINDERS = (_total_by_group,)
