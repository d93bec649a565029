"""Why one follower has or has not a copy of a signal: the whole story, in sentences. Reads only, about ten queries."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from copytrading.explain.causes import Cause, Place, cause_of
from copytrading.explain.reasons import LEADER_TRADE_GONE, explanation, title
from copytrading.explain.stories import milliseconds, outcome_of
from copytrading.explain.summaries import summary_of
from copytrading.models import CopyConfig, CopyConfigVersion, CopyTrade, CopyTradeArchive, Follower, Signal
from copytrading.operations.attempts import ATTEMPTS_MAX
from copytrading.states import Status
from execution.models import Market
from guardrails.models import Scope, SpendingLimits, Switch
from guardrails.texts import amount_text
from ledger.texts import dollar_text, percent_text, price_text, share_text

_OUTCOMES: Mapping[str, str] = {
    Status.SKIPPED: "It was decided not to copy it.",
    Status.READY: "It was decided to copy it; the order waits for its turn and nothing was sent yet.",
    Status.PENDING: "It is being copied: the order may have been sent and its answer is outstanding.",
    Status.UNKNOWN: "The order was sent and the answer was lost; the venue is being asked by the order's hash.",
    Status.LIVE: "It is being copied: the order rests on the venue.",
    Status.MATCHED: "It is being copied: the venue matched the order; the confirmed fill is outstanding.",
    Status.SETTLEMENT_PENDING: "It was copied and filled; delivery on chain is outstanding.",
    Status.FAILED: "An order was made, but nothing was filled.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Because:
    """One reason: what it means, the value that was seen and its limit, and where to change what caused it.

    `place` and `place_id` name the page; `set_to` is what the field said when it was decided.
    """

    title: str
    means: str
    amounts: str
    note: bool
    place: Place
    place_id: int | None
    fields: tuple[str, ...]
    set_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The story: a headline, what happened before it in order, and the reasons."""

    headline: str
    copied: bool
    steps: tuple[str, ...]
    reasons: tuple[Because, ...]
    trade_id: int | None = None
    config_id: int | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    signal: Signal
    follower: Follower
    config: CopyConfig | None
    version: CopyConfigVersion | None
    market: Market | None


def explain(signal: Signal, follower: Follower) -> Answer:
    """The story of this signal for this follower; the signal needs its group and leader loaded."""
    config = CopyConfig.objects.filter(follower=follower, leader_id=signal.leader_id).select_related("leader").first()
    trade = CopyTrade.objects.filter(signal=signal, follower=follower).first()
    archived = None if trade else _archived(signal, follower)
    row: CopyTrade | CopyTradeArchive | None = trade or archived
    case = _Case(
        signal=signal,
        follower=follower,
        config=config,
        version=_version(config, signal, row),
        market=Market.objects.filter(condition_id=signal.condition_id).first(),
    )
    heard = (_heard(case), *_gone(case), _config_then(case, row))
    if row is None:
        return Answer(
            headline=_no_copy(case), copied=False, steps=heard, reasons=_dropped(case), config_id=_id_of(config)
        )
    return Answer(
        headline=_headline(row),
        copied=row.status in (Status.EXECUTED, Status.SETTLEMENT_PENDING),
        steps=(*heard, *_decided(row)),
        reasons=tuple(_because(each, case) for each in row.reasons),
        trade_id=trade.pk if trade else None,
        config_id=_id_of(config),
    )


def _archived(signal: Signal, follower: Follower) -> CopyTradeArchive | None:
    configs = CopyConfig.objects.filter(follower=follower, leader_id=signal.leader_id).values_list("pk", flat=True)
    # By the unique index on (config, signal): the archive is as large as it is old.
    return CopyTradeArchive.objects.filter(config_id__in=list(configs), signal_id=signal.pk).first()


def _version(
    config: CopyConfig | None, signal: Signal, row: CopyTrade | CopyTradeArchive | None
) -> CopyConfigVersion | None:
    """The version that decided, or the newest before the signal; None where none was kept."""
    if config is None:
        return None
    versions = CopyConfigVersion.objects.filter(config=config)
    if row is not None:
        return versions.filter(version=row.config_version).first()
    return versions.filter(created_at__lte=signal.detected_at).order_by("-version").first()


def _heard(case: _Case) -> str:
    signal = case.signal
    outcome = outcome_of(signal.token_id, case.market)
    what = f"{share_text(signal.size_micros)} {outcome} shares".replace("  ", " ")
    verb = "bought" if signal.side == "BUY" else "sold"
    market = f" in “{case.market}”" if case.market else ""
    late = milliseconds(signal.traded_at, signal.detected_at)
    return (
        f"{signal.leader} {verb} {what} at {price_text(signal.price_micros)}{market} on "
        f"{signal.traded_at:%Y-%m-%d at %H:%M:%S} UTC. We heard of it {late:,} ms later, from {signal.source}."
    )


def _gone(case: _Case) -> tuple[str, ...]:
    at = case.signal.group.withdrawn_at
    return () if at is None else (f"{LEADER_TRADE_GONE}; that was found on {at:%Y-%m-%d at %H:%M:%S} UTC.",)


def _config_then(case: _Case, row: CopyTrade | CopyTradeArchive | None) -> str:
    config, version = case.config, case.version
    who, leader = case.follower, case.signal.leader
    if config is None:
        return f"{who} has never followed {leader}."
    if config.created_at > case.signal.detected_at and row is None:
        return f"{who} did not follow {leader} at that time, but since {config.created_at:%Y-%m-%d %H:%M:%S} UTC."
    if version is not None:
        return f"{who} followed {leader} by version {version.version}: {summary_of(version, str(leader))}"
    number = row.config_version if row is not None else config.version
    if number == config.version:
        return f"{who} followed {leader} by version {number}: {summary_of(config, str(leader))}"
    return f"{who} followed {leader} by version {number} of the config; what it said was not kept."


def _no_copy(case: _Case) -> str:
    signal, config = case.signal, case.config
    name, leader = str(case.follower), str(signal.leader)
    if config is None:
        return f"Not copied: {name} does not follow {leader}."
    if signal.only_config_id is not None and signal.only_config_id != config.pk:
        return f"Not copied: this signal is the exit of another config after its stop, and was never meant for {name}."
    if signal.dropped_reason:
        return f"Not copied: the signal was dropped. {explanation(signal.dropped_reason)}"
    if config.created_at > signal.detected_at:
        return f"Not copied: {name} did not follow {leader} at that time."
    if signal.done_at is None:
        return f"Not decided yet: the signal is open and was tried {signal.attempts} of {ATTEMPTS_MAX} times."
    if case.version is not None and not case.version.active:
        return f"Not copied: {name}'s config was not active at that time."
    if not config.active:
        return f"Not copied: {name}'s config is not active, and was not when the signal was decided."
    return f"Not copied: {name} followed {leader}, but the config was not active when the signal was decided."


def _dropped(case: _Case) -> tuple[Because, ...]:
    reason = case.signal.dropped_reason
    return (_because({"reason": reason}, case),) if reason else ()


def _headline(row: CopyTrade | CopyTradeArchive) -> str:
    if row.status == Status.MATCHED and row.fill_size_micros:
        booked = f"{share_text(row.fill_size_micros)} of {share_text(row.size_micros)} shares"
        return f"It is being copied: {booked} are confirmed and booked; other fills are outstanding."
    if row.status != Status.EXECUTED:
        return _OUTCOMES[row.status]
    part = "" if row.fill_size_micros == row.size_micros else f" of {share_text(row.size_micros)}"
    cost = dollar_text(row.fill_cost_micros)
    return (
        f"It was copied: {share_text(row.fill_size_micros)}{part} shares at "
        f"{price_text(row.fill_price_micros)}, for {cost} and {dollar_text(row.fee_micros)} fees."
    )


def _decided(row: CopyTrade | CopyTradeArchive) -> tuple[str, ...]:
    found = [f"It was decided {milliseconds(row.detected_at, row.decided_at):,} ms after we heard of it."]
    if row.size_micros:
        limit = price_text(row.limit_micros)
        found.append(f"The order: {row.side} {share_text(row.size_micros)} shares at {limit} or better.")
    if row.submitted_at is not None:
        found.append(f"It was sent {milliseconds(row.decided_at, row.submitted_at):,} ms after the decision.")
    if row.submitted_at is not None and row.executed_at is not None:
        found.append(f"It was filled {milliseconds(row.submitted_at, row.executed_at):,} ms after it was sent.")
    return tuple(found)


def _because(told: Mapping[str, Any], case: _Case) -> Because:
    reason = str(told.get("reason", "?"))
    cause = cause_of(reason)
    return Because(
        title=title(reason),
        means=explanation(reason),
        amounts=_amounts(told),
        note=bool(told.get("note")),
        place=cause.place,
        place_id=_place_id(cause, reason, case),
        fields=cause.fields,
        set_to=_set_to(cause, case),
    )


def _amounts(told: Mapping[str, Any]) -> str:
    subject = str(told.get("subject") or "")
    if told.get("value") is None:
        return subject
    unit = str(told.get("unit") or "")
    numbers = f"it was {amount_text(told['value'], unit)}, and the limit {amount_text(told.get('limit'), unit)}"
    return f"{subject}: {numbers}" if subject else numbers


def _place_id(cause: Cause, reason: str, case: _Case) -> int | None:
    if cause.place is Place.SWITCH:
        return _switch_id(reason, case)
    market = case.market.pk if case.market else None
    places = {
        Place.CONFIG: _id_of(case.config),
        Place.STANDING: _id_of(case.config),
        Place.FOLLOWER: case.follower.pk,
        Place.CASH: case.follower.pk,
        Place.LEADER: case.signal.leader_id,
        Place.MARKET: market,
    }
    return places.get(cause.place)


def _switch_id(reason: str, case: _Case) -> int | None:
    """The switch as it is now; it may have been turned off since."""
    keys = {
        "FOLLOWER_PAUSED": (Scope.FOLLOWER, str(case.follower.pk)),
        "LEADER_PAUSED": (Scope.LEADER, str(case.signal.leader_id)),
        "MARKET_PAUSED": (Scope.MARKET, case.signal.condition_id),
    }
    scope, key = keys.get(reason, (Scope.GLOBAL, ""))
    kind = Switch.Kind.DRY_RUN if reason == "DRY_RUN" else Switch.Kind.PAUSE
    return Switch.objects.filter(kind=kind, scope=scope, key=key).values_list("pk", flat=True).first()


def _set_to(cause: Cause, case: _Case) -> str:
    rows: dict[Place, CopyConfig | CopyConfigVersion | SpendingLimits | None] = {
        Place.CONFIG: case.version or case.config,
        Place.STANDING: case.version or case.config,
        Place.FOLLOWER: case.follower,
        Place.LEADER: case.signal.leader,
        Place.MARKET: case.market,
    }
    row = rows.get(cause.place)
    if row is None:
        return ""
    return ", ".join(f"{field_name(name)} {_value(name, getattr(row, name))}" for name in cause.fields)


def field_name(name: str) -> str:
    """A column as people call it: max_odds_micros is 'max odds'."""
    return name.removesuffix("_micros").removesuffix("_bps_max").removesuffix("_bps").replace("_", " ")


def _value(name: str, value: Any) -> str:
    if value is None:
        return "not set now"
    if name == "max_odds_micros":
        return price_text(value)
    if name.endswith("_micros"):
        return dollar_text(value)
    if "_bps" in name:
        return percent_text(value)
    if isinstance(value, list):
        return ", ".join(str(each) for each in value) or "all"
    return str(value)


def _id_of(config: CopyConfig | None) -> int | None:
    return None if config is None else config.pk
