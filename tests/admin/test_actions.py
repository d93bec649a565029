"""Bulk actions: one operation for all rows, at the same cost, only where it is legal, and never without asking."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from copytrading.dashboard.status import breakers_open
from copytrading.models import CopyConfig, CopyConfigVersion, CopyTrade, Leader, Signal, Standing
from copytrading.operations.attempts import begin_signals
from copytrading.operations.bulk import exit_now, retry_signals, set_active, start_stopped_again
from copytrading.operations.write_offs import ask_now, write_off
from copytrading.states import Status
from guardrails.circuits import BreakerScope, Kind
from guardrails.models import Breaker, Switch
from guardrails.pauses import SwitchName, throw_switches
from guardrails.queries import switches
from ledger.admin.actions import SELECTED_MAX
from ledger.bulk import Done, try_now
from ledger.models import AuditEntry, CashBalance, Debt, ReimbursementLedger
from ledger.sql import database_now
from ledger.units import ONE
from tests.admin.pages import act, address, read
from tests.doors import BEGINNING
from tests.factories import CopyConfigFactory, LeaderFactory, SignalFactory, trade_in
from tests.operations.deals import balances, bought, standing

pytestmark = [
    pytest.mark.django_db,
    # whitenoise, before the first `collectstatic`
    pytest.mark.filterwarnings("ignore:No directory at:UserWarning"),
]

LATER = BEGINNING + timedelta(hours=3)
WHO = {"who": "olga", "why": "a reason"}


def dead_letters(count: int) -> list[Signal]:
    return SignalFactory.create_batch(count, dropped_reason="DEAD_LETTER", attempts=3)


def advances(count: int) -> list[ReimbursementLedger]:
    trades = [trade_in(Status.EXECUTED) for _number in range(count)]
    return [
        ReimbursementLedger.objects.create(
            follower=trade.follower, trade=trade, amount_micros=ONE, state="ADVANCED", next_retry_at=LATER
        )
        for trade in trades
    ]


def debts(count: int) -> list[Debt]:
    return [
        Debt.objects.create(follower=row.follower, reimbursement=row, amount_micros=ONE, next_retry_at=LATER)
        for row in advances(count)
    ]


def exits(count: int) -> list[Standing]:
    stop = {"stopped_at": BEGINNING, "stopped_reason": "STOP_LOSS", "exiting": True, "next_exit_at": LATER}
    return [Standing.objects.create(config=CopyConfigFactory(), **stop) for _number in range(count)]


def ghosts(count: int) -> list[CopyTrade]:
    rows = [trade_in(Status.MATCHED, mode="EXCHANGE") for _number in range(count)]
    for row in rows:
        CashBalance.objects.create(follower=row.follower, cash_micros=ONE, reserved_micros=row.reserved_micros)
    return rows


def keys(rows: Sequence[Model]) -> list[int]:
    return [row.pk for row in rows]


def pause(rows: Sequence[Leader]) -> int:
    names = [SwitchName("PAUSE", "LEADER", str(row.pk)) for row in rows]
    return len(throw_switches(names, on=True, now=BEGINNING, **WHO))


# --- Every operation ----------------------------------------------------------------------------------

OPERATIONS: dict[str, tuple[Callable[[int], Sequence[Model]], Callable[[Sequence[Model]], object]]] = {
    "pause": (LeaderFactory.create_batch, pause),
    "deactivate": (CopyConfigFactory.create_batch, lambda rows: set_active(keys(rows), active=False, **WHO)),
    "retry a signal": (dead_letters, lambda rows: retry_signals(keys(rows), **WHO)),
    "retry an advance": (advances, lambda rows: try_now(ReimbursementLedger, keys(rows), now=BEGINNING, **WHO)),
    "retry a debt": (debts, lambda rows: try_now(Debt, keys(rows), now=BEGINNING, **WHO)),
    "retry an exit": (exits, lambda rows: exit_now(keys(rows), now=BEGINNING, **WHO)),
    "ask now": (ghosts, lambda rows: ask_now(keys(rows), now=BEGINNING, **WHO)),
    "write off": (ghosts, lambda rows: write_off(keys(rows), now=LATER, **WHO)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_asks_as_often_for_many_rows_as_for_one(name: str) -> None:
    make, run = OPERATIONS[name]

    def queries(count: int) -> int:
        rows = make(count)
        with CaptureQueriesContext(connection) as asked:
            run(rows)
        return len(asked)

    # A single row is inserted with its key; of more the keys are taken in one statement. All else is one for all too.
    assert queries(2) == queries(7)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_changes_and_audits_every_row_once(name: str) -> None:
    make, run = OPERATIONS[name]
    rows = make(3)
    first, again = run(rows), run(rows)
    changed = [done.changed if isinstance(done, Done) else done for done in (first, again)]
    assert changed == [3, 0]
    assert list(AuditEntry.objects.values_list("actor", "why")) == [("olga", "a reason")] * 3


def test_deactivated_config_is_a_new_version_and_the_old_one_is_kept(fay_config: CopyConfig) -> None:
    set_active([fay_config.pk], active=False, **WHO)
    fay_config.refresh_from_db()
    assert (fay_config.active, fay_config.version) == (False, 2)
    rows = CopyConfigVersion.objects.order_by("version").values_list("version", "active", "changed_by")
    assert list(rows) == [(1, True, ""), (2, False, "olga")]


def test_signal_that_was_put_aside_is_open_again_with_all_its_tries() -> None:
    (signal,) = dead_letters(1)
    retry_signals([signal.pk], **WHO)
    begun = begin_signals([signal.pk], now=BEGINNING)
    assert [each.signal_id for each in begun.signals] == [signal.pk]
    assert begun.poisoned == ()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"done_at": None}, "is still open: it will be decided anyway."),
        ({"dropped_reason": "NO_SUBSCRIBERS"}, "was dropped for NO_SUBSCRIBERS"),
        ({}, "a decision is final"),
    ],
)
def test_signal_that_may_not_be_tried_again_is_left_with_a_sentence(fields: dict[str, object], sentence: str) -> None:
    signal = SignalFactory(**fields)
    done = retry_signals([signal.pk], **WHO)
    assert done.changed == 0
    assert sentence in done.refused[0]
    before = signal.done_at
    signal.refresh_from_db()
    assert signal.done_at == before


@pytest.mark.parametrize(
    ("state", "next_retry_at", "sentence"),
    [
        ("REIMBURSED", LATER, "is REIMBURSED: there is nothing left to try."),
        ("VOID", LATER, "is VOID: there is nothing left to try."),
        ("ADVANCED", BEGINNING, "is due already."),
        ("ADVANCED", None, "is due already."),
    ],
)
def test_advance_that_may_not_be_tried_again_is_left_with_a_sentence(
    state: str, next_retry_at: object, sentence: str
) -> None:
    (row,) = advances(1)
    ReimbursementLedger.objects.update(state=state, next_retry_at=next_retry_at)
    done = try_now(ReimbursementLedger, [row.pk], now=BEGINNING, **WHO)
    assert done.changed == 0
    assert sentence in done.refused[0]


def test_stopped_config_copies_again_when_somebody_says_so() -> None:
    (standing,) = exits(1)
    idle = Standing.objects.create(config=CopyConfigFactory())
    done = start_stopped_again([standing.pk, idle.pk], **WHO)
    assert (done.changed, done.refused) == (1, (f"Config {idle.config_id} is not stopped.",))
    standing.refresh_from_db()
    assert (standing.stopped_at, standing.exiting) == (None, False)
    assert AuditEntry.objects.get().before["stopped_reason"] == "STOP_LOSS"


# --- The lists ----------------------------------------------------------------------------------------


def test_action_asks_before_it_acts(admin_client: Client, lena: Leader) -> None:
    form = {"action": "pause", "_selected_action": [lena.pk]}
    page = admin_client.post(address(Leader, "changelist"), form).content.decode()
    assert "Nothing will be sent for them until somebody resumes." in page
    assert ">Lena<" in page
    assert not Switch.objects.exists()


def test_action_that_stops_money_wants_a_reason(admin_client: Client, lena: Leader) -> None:
    assert "Say why: it is kept in the audit log." in act(admin_client, "pause", lena, why="")
    assert not switches().leader_paused(lena.pk)


def test_action_that_lets_money_go_on_needs_no_reason(admin_client: Client, lena: Leader) -> None:
    act(admin_client, "pause", lena)
    act(admin_client, "resume", lena, why="")
    assert not switches().leader_paused(lena.pk)


def test_action_tells_what_changed_and_what_could_not(admin_client: Client, lena: Leader) -> None:
    other = LeaderFactory(name="Lars")
    act(admin_client, "pause", other)
    page = act(admin_client, "pause", lena, other)
    assert "1 paused." in page
    assert "Lars: its switch is on already." in page


def test_action_on_too_many_rows_is_refused(admin_client: Client) -> None:
    LeaderFactory.create_batch(SELECTED_MAX + 1)
    form = {"action": "pause", "_selected_action": [1], "select_across": "1", "confirmed": "yes", "why": "x"}
    page = admin_client.post(address(Leader, "changelist"), form, follow=True).content.decode()
    assert f"Select at most {SELECTED_MAX} rows." in page
    assert not Switch.objects.exists()


def test_configs_are_activated_from_their_list(admin_client: Client, fay_config: CopyConfig) -> None:
    act(admin_client, "deactivate", fay_config)
    assert not CopyConfig.objects.get().active
    assert f"Config {fay_config.pk} was left alone: it is not active already." in act(
        admin_client, "deactivate", fay_config
    )
    act(admin_client, "activate", fay_config)
    assert CopyConfig.objects.get().active


@pytest.mark.parametrize("make", [dead_letters, advances, debts, exits])
def test_rows_are_tried_again_from_their_list(admin_client: Client, make: Callable[[int], list[Model]]) -> None:
    (row,) = make(1)
    column = "next_exit_at" if isinstance(row, Standing) else "next_retry_at"
    if not isinstance(row, Signal):
        type(row)._default_manager.update(**{column: database_now() + timedelta(hours=1)})
    act(admin_client, "retry", row)
    row.refresh_from_db()
    assert row.done_at is None if isinstance(row, Signal) else getattr(row, column) <= database_now()


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ("retry", "No action"),
        ("delete_selected", "No action"),
        ("reverse", "only a copy that was executed can be reversed"),
        ("write_off", "only an order that stays MATCHED on the venue can be written off"),
        ("ask_now", "has no order on the venue that could be asked about"),
    ],
)
def test_final_copies_are_not_tried_again(admin_client: Client, action: str, sentence: str) -> None:
    trade = trade_in(Status.FAILED)
    assert sentence in act(admin_client, action, trade)
    assert CopyTrade.objects.get().status == Status.FAILED


def test_breaker_is_opened_and_closed_from_its_list(admin_client: Client) -> None:
    breaker = Breaker.objects.create(kind="FAILURE_RATE", scope="GLOBAL")
    for action, state in (("set_open", "OPEN"), ("set_closed", "CLOSED")):
        act(admin_client, action, breaker)
        breaker.refresh_from_db()
        assert breaker.state == state


@pytest.mark.parametrize(("scope", "key"), [("VENUE", "clob"), ("FOLLOWER", "7")])
def test_breaker_of_a_venue_or_an_account_is_overruled_with_a_reason(
    admin_client: Client, scope: str, key: str
) -> None:
    breaker = Breaker.objects.create(
        kind="DAILY_DRAWDOWN", scope=scope, key=key, state="OPEN", opened_at=BEGINNING, counts={"lost_micros": 15 * ONE}
    )
    other = Breaker.objects.create(kind="DAILY_DRAWDOWN", scope=scope, key="9", state="OPEN", opened_at=BEGINNING)
    assert "lost $15.00" in read(admin_client, Breaker, "change", breaker.pk)
    act(admin_client, "set_closed", breaker, why="They accept it.")
    breaker.refresh_from_db()
    other.refresh_from_db()

    assert (breaker.state, breaker.why, other.state) == ("CLOSED", "They accept it.", "OPEN")
    assert AuditEntry.objects.get(action="override").label == f"Daily drawdown breaker for {scope.lower()} {key}"


def test_all_breakers_of_all_scopes_are_overruled_from_one_list(admin_client: Client) -> None:
    keys = {"GLOBAL": "", "VENUE": "clob", "FOLLOWER": "7"}
    rows = [Breaker.objects.create(kind=kind, scope=scope, key=keys[scope]) for kind in Kind for scope in BreakerScope]
    page = act(admin_client, "set_open", *rows, why="The venue is on fire.")

    assert page.count("The venue is on fire.") >= len(rows) == 15
    assert {(each.state, each.why) for each in breakers_open()} == {("OPEN", "The venue is on fire.")}
    assert len(breakers_open()) == 15
    labels = set(AuditEntry.objects.filter(action="override").values_list("label", flat=True))
    assert labels == {str(row) for row in rows}
    assert "Daily drawdown breaker for everything" in labels


def test_open_breaker_is_let_probe_at_once_and_a_closed_one_is_left(admin_client: Client) -> None:
    later = database_now() + timedelta(hours=1)
    held = Breaker.objects.create(
        kind="FAILURE_RATE", scope="GLOBAL", state="OPEN", opened_at=BEGINNING, probe_at=later
    )
    closed = Breaker.objects.create(kind="UNKNOWN_RATE", scope="GLOBAL")
    page = act(admin_client, "set_half_open", held, closed)
    held.refresh_from_db()
    assert held.probe_at is not None
    assert held.probe_at < later
    assert "Unknown rate breaker for everything is closed, and was left so." in page


def test_fill_is_reversed_from_its_list_with_everything_that_it_moved(
    admin_client: Client, fay_config: CopyConfig
) -> None:
    bought(fay_config, "0.40")
    before, had = standing(), balances()
    executed = bought(fay_config, "0.70", fee="0.50")
    act(admin_client, "reverse", executed, why="the chain undid it")
    executed.refresh_from_db()
    assert (executed.status, standing(), balances()) == (Status.FAILED, before, had)
    assert AuditEntry.objects.get(action="reverse").why == "the chain undid it"


def test_match_that_never_settles_is_written_off_from_its_list_with_a_reason(admin_client: Client) -> None:
    (ghost,) = ghosts(1)
    assert "Say why: it is kept in the audit log." in act(admin_client, "write_off", ghost, why="")
    assert "1 written off." in act(admin_client, "write_off", ghost, why="nothing on the chain")
    ghost.refresh_from_db()
    assert (ghost.status, ghost.reasons[-1]["reason"], ghost.reserved_micros) == (Status.FAILED, "WRITTEN_OFF", 0)
    assert AuditEntry.objects.get(action="write off").why == "nothing on the chain"


def test_venue_is_asked_now_about_an_order_of_the_list(admin_client: Client) -> None:
    (ghost,) = ghosts(1)
    CopyTrade.objects.update(next_retry_at=database_now() + timedelta(hours=1))
    assert "1 asked about." in act(admin_client, "ask_now", ghost, why="")
    ghost.refresh_from_db()
    assert ghost.next_retry_at is not None and ghost.next_retry_at <= database_now()
    assert AuditEntry.objects.get(action="ask now").actor == "admin"
