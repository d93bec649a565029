"""What `verify guardrail-events` proves: refusals become events, all of them, in bulk, and one query tells why."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from django.db import connection

from copytrading.models import Follower
from copytrading.verification.bench import Bench, Cast, Outside, wallets_of
from copytrading.verification.doors import Counted, WatchfulVenue, counted
from copytrading.verification.steps import Step, Wrong, same
from guardrails.intents import Reason
from guardrails.models import GuardrailEvent
from guardrails.operations import set_switch
from ledger.db import ClosableDatabase
from ledger.system import SystemClock
from ledger.units import ONE

FEW, MANY = 6, 60
CASTS_MAX = 20

# One follower in six meets each of these; with a bound of 10 % on slippage only `DEVIATION` minds the book.
PAUSED, OUTSIDER, ODDS, MINIMUM, DEVIATION, BUDGET = range(6)
USUAL: Mapping[str, Any] = {"slippage_bps_max": 1_000}
VARY: tuple[Mapping[str, Any], ...] = (
    USUAL,
    USUAL,
    {**USUAL, "max_odds_micros": 400_000},
    {**USUAL, "amount_micros": ONE},
    {"slippage_bps_max": 100},
    USUAL,
)
OWN_REASON = {
    PAUSED: Reason.FOLLOWER_PAUSED,
    OUTSIDER: Reason.NOT_ALLOWED,
    ODDS: Reason.MAX_ODDS,
    MINIMUM: Reason.BELOW_MINIMUM,
    DEVIATION: Reason.PRICE_DEVIATION,
    BUDGET: Reason.FOLLOWER_DAILY_LIMIT,
}
BOOK_RAN_AWAY = "0.52"

ALLOWED_WALLETS = wallets_of(casts=CASTS_MAX, followers=(i for i in range(MANY) if i % len(VARY) != OUTSIDER))

Told = Counter[tuple[int | None, str, int | None, int | None]]


def event_steps(bench: Bench) -> Iterable[Step]:
    """The steps in their order."""
    steps: tuple[tuple[str, Callable[[Bench], str]], ...] = (
        ("each follower is refused for a reason of its own, and nothing is sent", _own_reasons),
        ("a pause of leader, market or everything refuses all followers", _pauses),
        ("there are as many events as reasons on the rows", _as_many_events),
        ("events are written in bulk", _in_bulk),
        ('"why was this not copied?" is one query', _one_query),
    )
    return [Step(promise, partial(prove, bench)) for promise, prove in steps]


def _own_reasons(bench: Bench) -> str:
    cast, venue = _refused(bench, MANY), WatchfulVenue()
    bench.copy(cast.action(), outside=Outside(clock=SystemClock(), venue=venue))
    same("Orders that reached the venue", len(venue.heard), 0)
    found = dict(cast.trades().values_list("follower_id", "reasons"))
    same("Followers with a row", len(found), MANY)
    for index, follower in enumerate(cast.followers):
        told = [each["reason"] for each in found[follower.pk]]
        same(f"Reasons of follower {index}", told, [OWN_REASON[index % len(VARY)].value])
    return f"{MANY} followers: {', '.join(OWN_REASON.values())}, each {MANY // len(VARY)} times; 0 orders sent."


def _pauses(bench: Bench) -> str:
    leader, market, everything = (bench.cast(MANY) for _cast in range(3))
    for scope, cast, key, reason in (
        ("LEADER", leader, str(leader.leader.pk), Reason.LEADER_PAUSED),
        ("MARKET", market, market.condition_id, Reason.MARKET_PAUSED),
        ("GLOBAL", everything, "", Reason.GLOBAL_PAUSE),
    ):
        _switch(scope, key, on=True)
        try:
            bench.copy(cast.action(), outside=Outside(clock=SystemClock(), venue=WatchfulVenue()))
        finally:
            _switch(scope, key, on=False)
        refused = GuardrailEvent.objects.filter(trade__leader=cast.leader, reason=reason.value)
        same(f"Events {reason}", refused.count(), MANY)
        same(f"Copies skipped under {reason}", cast.trades().filter(status="SKIPPED").count(), MANY)
    return f"LEADER_PAUSED, MARKET_PAUSED and GLOBAL_PAUSE, each for all of {MANY} followers."


def _as_many_events(bench: Bench) -> str:
    cast = _refused(bench, MANY)
    _switch("LEADER", str(cast.leader.pk), on=True)
    bench.copy(cast.action())
    rows = cast.trades().values_list("pk", "reasons")
    on_rows: Told = Counter((pk, r["reason"], r["value"], r["limit"]) for pk, told in rows for r in told)
    events: Told = Counter(_events_of(cast))
    if on_rows != events:
        odd = (on_rows - events) + (events - on_rows)
        raise Wrong(f"{on_rows.total()} reasons on the rows, {events.total()} events; {odd.total()} have no partner.")
    if events.total() <= MANY:
        raise Wrong(f"Only {events.total()} reasons on {MANY} rows, though many followers were refused for two.")
    return f"{MANY} rows with {on_rows.total()} reasons; {events.total()} events with the same values and limits."


def _in_bulk(bench: Bench) -> str:
    few, many = _writes_for(bench, FEW), _writes_for(bench, MANY)
    if few < 1:
        raise Wrong(f"No statement was seen that wrote the events of {FEW} followers.")
    same(f"Statements that wrote the events of {MANY} followers, as of {FEW}", many, few)
    return f"{few} statement for the events of {FEW} followers, {many} for those of {MANY}."


def _one_query(bench: Bench) -> str:
    cast = _refused(bench, MANY)
    bench.copy(cast.action())
    for index, follower in enumerate(cast.followers):
        statements: list[str] = []
        told = counted(statements, partial(_why, cast, follower))
        same("Queries for one answer", len(statements), 1)
        same(f"Answer for follower {index}", [each[0] for each in told], [OWN_REASON[index % len(VARY)].value])
    return f"{MANY} followers asked; one query each, with the reason, the value seen and its limit."


def _why(cast: Cast, follower: Follower) -> list[tuple[str, int | None, int | None]]:
    events = GuardrailEvent.objects.filter(trade__follower=follower, trade__leader=cast.leader)
    return list(events.values_list("reason", "value", "limit"))


def _writes_for(bench: Bench, followers: int) -> int:
    """How many statements write the events of one batch."""
    cast, counters = _refused(bench, followers), []

    def count(database: ClosableDatabase) -> ClosableDatabase:
        counters.append(Counted(database))
        return counters[0]

    bench.copy(cast.action(), outside=Outside(clock=SystemClock(), through=count))
    same(f"Events of {followers} followers", len(list(_events_of(cast))), followers)
    if connection.vendor == "postgresql":
        return _writers_of(cast)
    table = GuardrailEvent._meta.db_table
    return sum(sql.startswith("INSERT") and table in sql for sql in counters[0].statements)


def _writers_of(cast: Cast) -> int:
    """Postgres marks each row with the transaction and the command in it that wrote it, also for COPY."""
    trades = list(cast.trades().values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT (xmin::text, cmin::text)) FROM guardrails_guardrailevent WHERE trade_id = ANY(%s)",
            [trades],
        )
        (count,) = cursor.fetchone()
    return int(count)


def _refused(bench: Bench, followers: int) -> Cast:
    """A cast whose every follower is refused, for six reasons in turn."""
    cast = bench.cast(followers, vary=VARY)
    bench.set_book(cast, BOOK_RAN_AWAY)
    by_kind = [cast.followers[kind :: len(VARY)] for kind in range(len(VARY))]
    for follower in by_kind[PAUSED]:
        _switch("FOLLOWER", str(follower.pk), on=True)
    Follower.objects.filter(pk__in=[each.pk for each in by_kind[BUDGET]]).update(daily_limit_micros=ONE)
    return cast


def _events_of(cast: Cast) -> Iterable[tuple[int | None, str, int | None, int | None]]:
    events = GuardrailEvent.objects.filter(trade__leader=cast.leader)
    return events.values_list("trade_id", "reason", "value", "limit")


def _switch(scope: str, key: str, *, on: bool) -> None:
    set_switch(kind="PAUSE", scope=scope, key=key, on=on, who="verify", why="verification", now=SystemClock().now())
