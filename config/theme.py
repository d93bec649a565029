"""How the admin looks: its name, mark, colours and navigation (the UNFOLD setting of django-unfold)."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse, reverse_lazy
from django.utils.text import format_lazy


def _file(path: str) -> Callable[[HttpRequest], str]:
    return lambda _request: static(path)


def _may_view(model: str) -> Callable[[HttpRequest], bool]:
    app, _dot, name = model.partition(".")
    return lambda request: request.user.has_perm(f"{app}.view_{name}")


def _list(title: str, icon: str, model: str) -> dict[str, Any]:
    link = reverse_lazy(f"admin:{model.replace('.', '_')}_changelist")
    return {"title": title, "icon": icon, "link": link, "permission": _may_view(model)}


def _on_dashboard(request: HttpRequest) -> bool:
    # The theme looks for the link inside the path, and "/" is inside every path.
    return request.path == reverse("dashboard")


def _incidents(*, only: bool) -> dict[str, Any]:
    """The two entries of the list of events: all of them, and the incidents."""
    every = _list("Refusals and incidents", "report", "guardrails.guardrailevent")

    def active(request: HttpRequest) -> bool:
        return request.path == str(every["link"]) and (request.GET.get("shown") == "incidents") is only

    if not only:
        return {**every, "active": active}
    link = format_lazy("{}?shown=incidents", every["link"])
    return {**every, "title": "Incidents", "icon": "crisis_alert", "link": link, "active": active}


def _group(title: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "separator": True, "collapsible": False, "items": list(items)}


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Slipstream",
    "SITE_HEADER": "Slipstream",
    "SITE_SUBHEADER": "Copy trading",
    "SITE_URL": "/",
    "SITE_ICON": _file("dashboard/mark.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _file("dashboard/mark.svg")}],
    "SHOW_BACK_BUTTON": True,
    "STYLES": [_file("slipstream/admin.css")],
    "COLORS": {
        # The dashboard's green.
        "primary": {
            "50": "#effbf8",
            "100": "#d3f4ed",
            "200": "#a8e8dc",
            "300": "#74d5c6",
            "400": "#3fc7b5",
            "500": "#17a394",
            "600": "#0b7a6e",
            "700": "#0b665d",
            "800": "#0e514b",
            "900": "#10433f",
            "950": "#042825",
        }
    },
    "SIDEBAR": {
        "show_search": False,
        "navigation": [
            {
                "items": [
                    {
                        "title": "Live dashboard",
                        "icon": "monitoring",
                        "link": reverse_lazy("dashboard"),
                        "active": _on_dashboard,
                        "permission": _may_view("copytrading.copytrade"),
                    },
                    {
                        "title": "Why was this not copied?",
                        "icon": "help",
                        "link": reverse_lazy("admin:copytrading_why"),
                        "permission": _may_view("copytrading.copytrade"),
                    },
                ]
            },
            _group(
                "People",
                _list("Leaders", "star", "copytrading.leader"),
                _list("Followers", "group", "copytrading.follower"),
                _list("Configs", "tune", "copytrading.copyconfig"),
                _list("Standings", "leaderboard", "copytrading.standing"),
                _list("Config history", "history", "copytrading.copyconfigversion"),
            ),
            _group(
                "Copies",
                _list("Copy trades", "swap_horiz", "copytrading.copytrade"),
                _list("Signals", "sensors", "copytrading.signal"),
                _list("Leaders' trades", "receipt_long", "copytrading.signalgroup"),
                _list("Markets", "storefront", "execution.market"),
                _list("Archive", "inventory_2", "copytrading.copytradearchive"),
            ),
            _group(
                "Guardrails",
                _list("Switches", "toggle_on", "guardrails.switch"),
                _list("Breakers", "electric_bolt", "guardrails.breaker"),
                _list("Budgets", "savings", "guardrails.budget"),
                _incidents(only=True),
                _incidents(only=False),
            ),
            _group(
                "Money",
                _list("Cash", "payments", "ledger.cashbalance"),
                _list("Positions", "pie_chart", "execution.position"),
                _list("Positions by config", "donut_small", "copytrading.copiedposition"),
                _list("Ledger", "menu_book", "ledger.ledgerentry"),
                _list("Commissions", "percent", "ledger.commissionlog"),
                _list("Referral volumes", "stacked_bar_chart", "ledger.referralvolume"),
                _list("Reimbursements", "undo", "ledger.reimbursementledger"),
                _list("Debts", "money_off", "ledger.debt"),
            ),
            _group(
                "Running",
                _list("Shards", "dns", "copytrading.shardlease"),
                _list("Sources", "rss_feed", "copytrading.signalcursor"),
                _list("What sources showed", "layers", "copytrading.signalsourcetotal"),
                _list("Leaders' holdings", "account_balance_wallet", "copytrading.leaderposition"),
                _list("Carried sizes", "hourglass_top", "copytrading.carriedsize"),
                _list("Dashboard events", "bolt", "copytrading.dashboardevent"),
            ),
            _group(
                "Log",
                _list("Audit log", "fact_check", "ledger.auditentry"),
                _list("Users", "person", "auth.user"),
                _list("Roles", "badge", "auth.group"),
            ),
        ],
    },
}
