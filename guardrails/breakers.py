"""The circuit breaker as a transition function: (circuit, event, now) -> circuit. Pure.

CLOSED lets pass and counts. OPEN lets nothing pass until its cool-down is over. HALF_OPEN lets a few probes
through: all of them good closes it, one bad opens it again for twice as long. What is answered while it is
OPEN was sent before, and changes nothing. A day's drawdown is over with the UTC day.
"""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from guardrails.circuits import (
    BAD_PROBES,
    CLOSED,
    COUNTED,
    BreakerTerms,
    Circuit,
    DayResult,
    Event,
    Kind,
    Override,
    State,
)
from ledger.texts import dollar_text
from ledger.units import BPS, ONE, text_from_micros

DOUBLINGS_MAX = 20
"""A cool-down is not doubled more often: a second has become twelve days."""


def after(
    circuit: Circuit, event: Event | DayResult | Override, *, terms: BreakerTerms, now: datetime, times: int = 1
) -> Circuit:
    """The circuit after an event, the same object where nothing changed.

    `times` folds that many SUCCESS, ON_PRICE or WIN events in a row into one.
    """
    if isinstance(event, Override):
        return overridden(circuit, event.to, now=now)
    if isinstance(event, DayResult):
        return _weighed(circuit, event, terms, now)
    if circuit.state is State.CLOSED:
        return _counted(circuit, event, terms, now=now, times=times)
    if event is Event.TICK:
        return _ticked(circuit, terms, now)
    return circuit if circuit.state is State.OPEN else _probed(circuit, event, terms, now=now, times=times)


def overridden(circuit: Circuit, to: State, *, now: datetime) -> Circuit:
    """The circuit as a person wants it; it becomes HALF_OPEN at the next tick."""
    if to is State.CLOSED:
        return CLOSED
    probe_at = now if to is State.HALF_OPEN else None
    opened_at = circuit.opened_at if circuit.state is not State.CLOSED else now
    return replace(circuit, state=State.OPEN, granted=0, good=0, opened_at=opened_at or now, probe_at=probe_at)


def may_probe(circuit: Circuit, terms: BreakerTerms) -> bool:
    """Whether a circuit that is half open has a probe left to grant."""
    return circuit.state is State.HALF_OPEN and circuit.granted < terms.probes


def is_tripped(circuit: Circuit, terms: BreakerTerms) -> bool:
    """Whether what was counted is more than the terms allow."""
    if circuit.seen < terms.least:
        return False
    if terms.kind is Kind.CONSECUTIVE_LOSSES:
        return circuit.bad == terms.least
    return circuit.bad * BPS > circuit.seen * terms.open_bps


def off_price(price_micros: int, leader_micros: int, *, buy: bool, apart_bps: int, tick_micros: int) -> bool:
    """Whether a price is worse than the leader's by more than the bound and by more than a tick.

    The tick counts because a leader's price between two ticks cannot be met, and one tick of a cheap token is many
    basis points.
    """
    worse_by = price_micros - leader_micros if buy else leader_micros - price_micros
    return worse_by > tick_micros and worse_by * BPS > leader_micros * apart_bps


def reason(circuit: Circuit, terms: BreakerTerms) -> str:
    """Why it opened, for people; only of a circuit that still has what it counted."""
    if terms.kind is Kind.DAILY_DRAWDOWN:
        lost, most = dollar_text(circuit.lost_micros), dollar_text(terms.loss_micros)
        return f"Since midnight UTC {lost} were lost, which is more than {most}."
    if terms.kind is Kind.CONSECUTIVE_LOSSES:
        return f"{circuit.bad} sells in a row realised a loss."
    most = text_from_micros(terms.open_bps * ONE // 100)
    if terms.kind is Kind.PRICE_DEVIATION:
        apart = text_from_micros(terms.apart_bps * ONE // 100)
        return (
            f"{circuit.bad} of the last {circuit.seen} prices were more than {apart} % worse than the leader's, "
            f"which is more than {most} %."
        )
    what = "were refused" if terms.kind is Kind.FAILURE_RATE else "had a lost answer"
    return f"{circuit.bad} of the last {circuit.seen} orders {what}, which is more than {most} %."


def transition(before: Circuit, now: Circuit, terms: BreakerTerms) -> str:
    """Why a circuit went from one state to another by itself, for people."""
    if now.state is State.CLOSED:
        return "A new UTC day began." if terms.kind is Kind.DAILY_DRAWDOWN else f"All {terms.probes} probes were good."
    if now.state is State.HALF_OPEN:
        return f"The cool-down is over: {terms.probes} probes may pass."
    if before.state is State.CLOSED or terms.kind is Kind.DAILY_DRAWDOWN:
        return reason(now, terms)
    return "A probe failed." if now.openings > before.openings else "The probes were not answered."


def _counted(circuit: Circuit, event: Event, terms: BreakerTerms, *, now: datetime, times: int) -> Circuit:
    bad = COUNTED[terms.kind].get(event)
    if bad is None or (not bad and not circuit.marks and circuit.seen == terms.window):
        return circuit
    first = terms.least - circuit.seen
    if 0 < first < times:
        # Where the number that it takes is reached the rate is looked at, as if they came one by one.
        reached = _counted(circuit, event, terms, now=now, times=first)
        return reached if reached.state is State.OPEN else _counted(reached, event, terms, now=now, times=times - first)
    kept = (1 << terms.window) - 1
    marks = (circuit.marks << 1 | 1) & kept if bad else (circuit.marks << min(times, terms.window)) & kept
    seen = min(circuit.seen + (1 if bad else times), terms.window)
    # Closed it holds nothing else; `replace` takes three times as long.
    counted = Circuit(marks=marks, seen=seen)
    # Good results only lower a rate, but they can complete the number that it takes.
    return _opened(counted, terms, now) if is_tripped(counted, terms) else counted


def _weighed(circuit: Circuit, result: DayResult, terms: BreakerTerms, now: datetime) -> Circuit:
    """A day's result, of a breaker that lets pass or probes; half open, a further loss opens it again."""
    lost = -result.micros
    if terms.kind is not Kind.DAILY_DRAWDOWN or circuit.state is State.OPEN or result.day != now.astimezone(UTC).date():
        return circuit
    worse = lost > circuit.lost_micros if circuit.state is State.HALF_OPEN else True
    if lost <= terms.loss_micros or not worse:
        return circuit
    return _opened(replace(circuit, lost_micros=lost), terms, now)


def _ticked(circuit: Circuit, terms: BreakerTerms, now: datetime) -> Circuit:
    if circuit.probe_at is None or now < circuit.probe_at:
        return circuit
    if terms.kind is Kind.DAILY_DRAWDOWN and circuit.opened_at is not None and now >= _next_day(circuit.opened_at):
        return CLOSED
    if circuit.state is State.OPEN:
        return _half_opened(circuit, terms, now)
    if circuit.granted > circuit.good:
        # No answer is no bad sign: it waits for as long as before, and then grants new probes.
        return _opened(replace(circuit, openings=max(circuit.openings - 1, 0)), terms, now)
    return circuit


def _probed(circuit: Circuit, event: Event, terms: BreakerTerms, *, now: datetime, times: int) -> Circuit:
    if event is Event.PROBE_GRANTED:
        return replace(circuit, granted=circuit.granted + 1) if may_probe(circuit, terms) else circuit
    awaited = circuit.granted > circuit.good
    if event is Event.PROBE_VOID:
        return replace(circuit, granted=circuit.granted - 1) if awaited else circuit
    if event in BAD_PROBES[terms.kind]:
        # A sell that loses is a bad sign whenever its buy was made; an answer of the venue is one for a probe only.
        return _opened(circuit, terms, now) if awaited or event is Event.LOSS else circuit
    if COUNTED[terms.kind].get(event) is False:
        good = min(circuit.good + times, circuit.granted)
        if good >= terms.probes:
            return CLOSED
        return circuit if good == circuit.good else replace(circuit, good=good)
    return circuit


def _opened(circuit: Circuit, terms: BreakerTerms, now: datetime) -> Circuit:
    openings = circuit.openings + 1
    doubled = terms.cooldown_s << min(openings - 1, DOUBLINGS_MAX)
    wait = timedelta(seconds=min(doubled, terms.cooldown_max_s))
    return replace(
        circuit,
        state=State.OPEN,
        openings=openings,
        granted=0,
        good=0,
        opened_at=now,
        probe_at=_next_day(now) if terms.kind is Kind.DAILY_DRAWDOWN else now + wait,
    )


def _half_opened(circuit: Circuit, terms: BreakerTerms, now: datetime) -> Circuit:
    answered_by = now + timedelta(seconds=max(terms.cooldown_s, terms.answer_s))
    if terms.kind is Kind.DAILY_DRAWDOWN:
        answered_by = _next_day(now)
    return replace(circuit, state=State.HALF_OPEN, granted=0, good=0, probe_at=answered_by)


def _next_day(now: datetime) -> datetime:
    """The next midnight UTC."""
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
