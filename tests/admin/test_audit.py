"""Every change by a person stands in the audit log, once, or is not made."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import DatabaseError
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from copytrading.models import CopyConfig, Follower, Leader
from execution.models import Market, TradingAccount
from guardrails.models import Breaker, Switch
from guardrails.queries import switches
from ledger.audit import HIDDEN
from ledger.models import AuditEntry
from ledger.units import ONE
from tests.admin.pages import NO_LIMITS, act, address, read
from tests.admin.test_people import config_form
from tests.factories import CopyConfigFactory, FollowerFactory, LeaderFactory, MarketFactory, wallet

pytestmark = [
    pytest.mark.django_db,
    # whitenoise, before the first `collectstatic`
    pytest.mark.filterwarnings("ignore:No directory at:UserWarning"),
]

USER = {"username": "rita", "is_active": "on", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}


def new_config() -> dict[str, Any]:
    return config_form(CopyConfig(), follower=FollowerFactory().pk, leader=LeaderFactory().pk)


ADDS: dict[type[Model], Callable[[], dict[str, Any]]] = {
    Leader: lambda: {"wallet": wallet("Lena"), "name": "Lena", **NO_LIMITS},
    Follower: lambda: {"wallet": wallet("Fay"), "name": "Fay", "mode": "PAPER", **NO_LIMITS},
    CopyConfig: new_config,
    Switch: lambda: {"kind": "PAUSE", "scope": "GLOBAL", "key": "", "on": "on", "why": "odd"},
    User: lambda: (
        {"username": "rita", "password1": "a long pass phrase", "password2": "a long pass phrase"}
        | {"usable_password": "true"}
    ),
    Group: lambda: {"name": "Auditors"},
}

CHANGES: dict[type[Model], tuple[Callable[[], Model], Callable[[Any], dict[str, Any]], str]] = {
    Leader: (LeaderFactory, lambda row: {"name": "Lena B", **NO_LIMITS}, "name"),
    Follower: (FollowerFactory, lambda row: {"name": "Fay B", "mode": "PAPER", **NO_LIMITS}, "name"),
    CopyConfig: (CopyConfigFactory, lambda row: config_form(row, max_trade_micros="7"), "max_trade_micros"),
    Market: (MarketFactory, lambda row: {**NO_LIMITS, "daily_limit_micros": "5"}, "daily_limit_micros"),
    TradingAccount: (
        lambda: TradingAccount.objects.create(follower=FollowerFactory(), signer="0x" + "ab" * 20),
        lambda row: {"tier": "GOLD"},
        "tier",
    ),
    Switch: (lambda: Switch.objects.create(scope="GLOBAL"), lambda row: {"on": "on", "why": "odd"}, "on"),
    User: (lambda: User.objects.create_user("rita"), lambda row: {**USER, "is_staff": "on"}, "is_staff"),
    Group: (lambda: Group.objects.create(name="Auditors"), lambda row: {"name": "Inspectors"}, "name"),
}

WRITABLE = sorted(
    (model for model, page in admin.site._registry.items() if getattr(page, "editable", True)),
    key=lambda model: model._meta.label,
)


def only_entry() -> AuditEntry:
    return AuditEntry.objects.get()


@pytest.fixture
def unwritable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The audit log cannot be written."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise DatabaseError("the audit log is full")

    for module in ("ledger.admin.records", "guardrails.pauses", "copytrading.operations.bulk", "ledger.bulk"):
        monkeypatch.setattr(f"{module}.write_audit", refuse)
    yield


def test_every_page_that_people_write_on_is_in_these_tables() -> None:
    assert set(WRITABLE) == set(CHANGES)
    assert set(ADDS) == set(CHANGES) - {Market, TradingAccount}


@pytest.mark.parametrize("model", ADDS, ids=lambda model: model._meta.label)
def test_added_row_has_one_entry(admin_client: Client, model: type[Model]) -> None:
    assert admin_client.post(address(model, "add"), ADDS[model]()).status_code == 302
    entry, row = only_entry(), model._default_manager.order_by("-pk").first()
    assert row is not None
    assert (entry.actor, entry.subject, entry.subject_id) == ("admin", model._meta.label_lower, str(row.pk))
    assert entry.action == ("pause" if model is Switch else "add")
    assert "long pass phrase" not in str(entry.after)


@pytest.mark.parametrize("model", CHANGES, ids=lambda model: model._meta.label)
def test_changed_row_has_one_entry_with_what_differs(admin_client: Client, model: type[Model]) -> None:
    make, form, field = CHANGES[model]
    row = make()
    before = getattr(row, field)
    assert admin_client.post(address(model, "change", row.pk), form(row)).status_code == 302
    entry = only_entry()
    row.refresh_from_db()
    assert (entry.actor, entry.subject_id, entry.before[field]) == ("admin", str(row.pk), before)
    assert entry.after[field] == getattr(row, field) != before
    assert "wallet" not in entry.after


@pytest.mark.parametrize("model", CHANGES, ids=lambda model: model._meta.label)
def test_change_is_not_made_when_the_log_cannot_be_written(
    admin_client: Client, unwritable: None, model: type[Model]
) -> None:
    make, form, field = CHANGES[model]
    row = make()
    before = getattr(row, field)
    with pytest.raises(DatabaseError, match="the audit log is full"):
        admin_client.post(address(model, "change", row.pk), form(row))
    row.refresh_from_db()
    assert getattr(row, field) == before


@pytest.mark.parametrize("model", [Leader, CopyConfig, Group], ids=lambda model: model._meta.label)
def test_page_saved_without_a_change_has_no_entry(admin_client: Client, model: type[Model]) -> None:
    row = CHANGES[model][0]()
    form = config_form(row) if isinstance(row, CopyConfig) else {"name": row.name, **NO_LIMITS}  # type: ignore[attr-defined]
    assert admin_client.post(address(model, "change", row.pk), form).status_code == 302
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("model", [User, Group], ids=lambda model: model._meta.label)
def test_deleted_row_has_one_entry_with_what_it_was(admin_client: Client, model: type[Model]) -> None:
    row = CHANGES[model][0]()
    admin_client.post(address(model, "delete", row.pk), {"post": "yes"})
    entry = only_entry()
    assert (entry.action, entry.subject_id, entry.after) == ("delete", str(row.pk), {})
    assert "rita" in str(entry.before) or "Auditors" in str(entry.before)
    assert not model._default_manager.filter(pk=row.pk).exists()


def test_roles_and_rights_of_a_user_are_told_by_name(admin_client: Client) -> None:
    rita = User.objects.create_user("rita")
    form = {**USER, "groups": [Group.objects.get(name="Risk officer").pk]}
    admin_client.post(address(User, "change", rita.pk), form)
    entry = only_entry()
    assert (entry.before["groups"], entry.after["groups"]) == ([], ["Risk officer"])


def test_changed_password_is_told_and_not_shown(admin_client: Client) -> None:
    rita = User.objects.create_user("rita")
    url = reverse("admin:auth_user_password_change", args=[rita.pk])
    form = {"password1": "another pass phrase", "password2": "another pass phrase", "usable_password": "true"}
    assert admin_client.post(url, form).status_code == 302
    entry = only_entry()
    assert (entry.subject_id, entry.before, entry.after) == (str(rita.pk), {"password": HIDDEN}, {"password": HIDDEN})
    rita.refresh_from_db()
    assert rita.check_password("another pass phrase")


def test_pause_of_the_dashboard_is_told_with_its_reason(admin_client: Client) -> None:
    admin_client.post("/dashboard/pause", {"why": "odd prices"}, headers={"Accept": "application/json"})
    entry = only_entry()
    assert (entry.actor, entry.action, entry.why) == ("admin", "pause", "odd prices")
    assert (entry.label, entry.after) == ("Pause of everything", {"on": True, "why": "odd prices"})


def test_pause_of_the_dashboard_is_not_made_when_the_log_cannot_be_written(
    admin_client: Client, unwritable: None
) -> None:
    with pytest.raises(DatabaseError):
        admin_client.post("/dashboard/pause", headers={"Accept": "application/json"})
    assert not switches().global_pause


def test_bulk_action_has_an_entry_for_each_row_that_changed(admin_client: Client) -> None:
    rows = LeaderFactory.create_batch(3)
    act(admin_client, "pause", rows[0], why="first")
    act(admin_client, "pause", *rows, why="first")
    assert [entry.label for entry in AuditEntry.objects.order_by("pk")] == [f"Pause of leader {row.pk}" for row in rows]


def test_breaker_set_by_hand_is_told(admin_client: Client) -> None:
    breaker = Breaker.objects.create(kind="FAILURE_RATE", scope="GLOBAL")
    act(admin_client, "set_open", breaker, why="the venue is odd")
    entry = only_entry()
    assert (entry.action, entry.before["state"], entry.after["state"]) == ("override", "CLOSED", "OPEN")
    breaker.refresh_from_db()
    assert (breaker.state, breaker.changed_by) == ("OPEN", "admin")


def test_history_of_a_row_is_its_part_of_the_log(admin_client: Client, lena: Leader) -> None:
    other = LeaderFactory()
    for row, name in ((lena, "Lena B"), (other, "somebody else")):
        admin_client.post(address(Leader, "change", row.pk), {"name": name, **NO_LIMITS}, follow=True)
    page = admin_client.get(address(Leader, "history", lena.pk), follow=True).content.decode()
    assert "Lena B" in page
    assert "somebody else" not in page


@pytest.mark.parametrize(("text", "found"), [("olga", 1), ("rita", 0), ("copytrading.leader 7", 1), ("a.b 7", 0)])
def test_log_is_searched_by_who_and_by_what(admin_client: Client, text: str, found: int) -> None:
    AuditEntry.objects.create(actor="olga", action="change", subject="copytrading.leader", subject_id="7")
    assert f"{found} audit entr" in read(admin_client, AuditEntry, q=text)


def test_list_of_the_log_tells_the_first_changes(admin_client: Client) -> None:
    before, after = {"name": "a", "limit": ONE}, {"name": "<b>", "limit": None}
    AuditEntry.objects.create(actor="olga", action="change", subject="x.y", before=before, after=after)
    assert "name: a → &lt;b&gt;; limit: 1000000 → none" in read(admin_client, AuditEntry)
