"""Who may do what: three roles as groups of users, made after every migration, always exactly as written here.

Rows about money, copies, signals and the audit log are changed by nobody's hand; what a role may do beyond looking is
listed below, and docs/roles.md says it in words. Superusers may everything, as in every Django project.
"""

from collections.abc import Mapping
from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed

APPS = ("copytrading", "execution", "guardrails", "ledger")

OWN_PERMISSIONS: Mapping[str, tuple[str, str]] = {
    "guardrails.resume_everything": ("switch", "Can let everybody trade again"),
    "guardrails.set_limits": ("budget", "Can set limits on money and numbers of copies"),
    "copytrading.retry_signal": ("signal", "Can open a signal again that was put aside"),
    "copytrading.retry_exit": ("standing", "Can let a waiting exit be tried now"),
    "copytrading.start_again": ("standing", "Can let a stopped config copy again"),
    "copytrading.reverse_fill": ("copytrade", "Can reverse a fill that was undone"),
    "copytrading.write_off": ("copytrade", "Can give up an order that the venue never settles"),
    "copytrading.ask_now": ("copytrade", "Can have the venue asked about an order now"),
    "execution.stop_account": ("tradingaccount", "Can stop a trading account"),
    "execution.start_account": ("tradingaccount", "Can let a stopped trading account trade again"),
    "ledger.retry_reimbursement": ("reimbursementledger", "Can let a waiting reimbursement be tried now"),
    "ledger.retry_debt": ("debt", "Can let a waiting debt be tried now"),
}
"""Permissions for what is neither adding, changing nor deleting a row: the model that each belongs to, and its name."""

UNSEEN = frozenset({"execution.Secret"})
"""Rows that nobody looks at, whatever the role."""

PAUSE = frozenset({"guardrails.add_switch", "guardrails.change_switch", "execution.stop_account"})
RETRY = frozenset(
    {
        "copytrading.retry_signal",
        "copytrading.retry_exit",
        "copytrading.ask_now",
        "ledger.retry_reimbursement",
        "ledger.retry_debt",
    }
)
PEOPLE = frozenset(
    f"copytrading.{verb}_{model}" for verb in ("add", "change") for model in ("leader", "follower", "copyconfig")
)
RISK = frozenset(
    {
        "guardrails.set_limits",
        "guardrails.resume_everything",
        "guardrails.change_breaker",
        "copytrading.start_again",
        "copytrading.reverse_fill",
        "copytrading.write_off",
        "copytrading.change_leader",
        "copytrading.change_follower",
        "execution.change_market",
        "execution.change_tradingaccount",
        "execution.start_account",
    }
)

VIEWER, OPERATOR, RISK_OFFICER = "Viewer", "Operator", "Risk officer"

ROLES: Mapping[str, frozenset[str]] = {
    VIEWER: frozenset(),
    OPERATOR: PEOPLE | PAUSE | RETRY,
    RISK_OFFICER: RISK | PAUSE | RETRY,
}
"""What each role may do beside looking at everything of ours."""


def permissions_of(role: str) -> frozenset[str]:
    """Every permission of a role, looking included, as `app.codename`."""
    looking = {
        f"{app}.view_{model._meta.model_name}"
        for app in APPS
        for model in installed.get_app_config(app).get_models()
        if model._meta.label not in UNSEEN
    }
    return ROLES[role] | looking


def make_roles(sender: AppConfig, using: str = "default", apps: Any = installed, **_more: Any) -> None:
    """Give the roles exactly their permissions; runs after the last of our packages was migrated.

    A database whose migrations stand further back has fewer models: then the roles have what there is.
    """
    if sender.label != "copytrading":
        return
    try:
        group_model = apps.get_model("auth", "Group")
        permission_model = apps.get_model("auth", "Permission")
        kind_model = apps.get_model("contenttypes", "ContentType")
    except LookupError:
        return
    permissions = permission_model.objects.using(using).filter(content_type__app_label__in=APPS)
    _make_own_permissions(permissions, kind_model.objects.using(using).filter(app_label__in=APPS))
    known = {f"{app}.{codename}": key for app, codename, key in permissions.values_list(*_NAMES)}
    for role in ROLES:
        group, _created = group_model.objects.using(using).get_or_create(name=role)
        group.permissions.set([known[name] for name in sorted(permissions_of(role)) if name in known])


_NAMES = ("content_type__app_label", "codename", "pk")


def _make_own_permissions(permissions: Any, kinds: Any) -> None:
    there = set(permissions.values_list("content_type__app_label", "codename"))
    models = {(kind.app_label, kind.model): kind for kind in kinds}
    missing = []
    for name, (model, words) in OWN_PERMISSIONS.items():
        app, _dot, codename = name.partition(".")
        if (app, codename) not in there and (app, model) in models:
            missing.append(permissions.model(content_type=models[app, model], codename=codename, name=words))
    permissions.bulk_create(missing)
