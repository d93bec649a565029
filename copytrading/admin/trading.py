"""Trading accounts: whose they are, whether they are ready and what they lack; stopped and started with a reason.

Keys and credentials are nowhere in the admin: the rows that hold them, sealed, have no page.
"""

from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html, format_html_join

from copytrading.operations.account_states import start_accounts, stop_accounts
from execution.models import TradingAccount, VenueFill
from ledger.admin import RecordAdmin, dollars, price, shares, short
from ledger.admin.actions import BulkAction, bulk_action
from ledger.admin.lists import by_number
from ledger.sql import database_now

STOP = BulkAction(
    name="stop_account",
    title="Stop",
    needs="execution.stop_account",
    question="Nothing more is signed for these accounts from the next second on. What they hold and have open stays.",
    done="stopped",
    must_say_why=True,
    act=lambda rows, who, why: stop_accounts([row.pk for row in rows], who=who, why=why, now=database_now()),
)
START = BulkAction(
    name="start_account",
    title="Start again",
    needs="execution.start_account",
    question="These accounts trade again as soon as they are examined anew and lack nothing.",
    done="started again",
    must_say_why=True,
    act=lambda rows, who, why: start_accounts([row.pk for row in rows], who=who, why=why, now=database_now()),
)


def by_hash(text: str) -> Q | None:
    """Finds fills by the hash of their order."""
    return Q(order_hash=text.lower()) if text.lower().startswith("0x") else None


@admin.display(description="readiness")
def readiness_text(row: TradingAccount) -> str:
    """One word for the list."""
    if row.state == TradingAccount.State.STOPPED:
        return "stopped"
    if row.missing is None:
        return "not looked at yet"
    blocking = [each for each in row.missing if each["blocks"]]
    if blocking:
        return str(blocking[0]["sentence"])
    return "ready" if not row.missing else f"ready, but: {row.missing[0]['sentence']}"


@admin.display(description="what it lacks")
def lacks_text(row: TradingAccount) -> str:
    """Every lack with its next step."""
    if row.missing is None:
        return "It was not looked at yet: the supervisor does, within a minute."
    if not row.missing:
        return "Nothing."
    steps = format_html_join("", "<li>{} {}</li>", ((each["sentence"], each["next"]) for each in row.missing))
    return format_html("<ul>{}</ul>", steps)


@admin.register(TradingAccount)
class TradingAccountAdmin(RecordAdmin):
    """Followers' accounts on the venue."""

    columns = {"missing": lacks_text}
    editable = ("tier",)
    list_display = (
        "follower",
        "kind",
        short("signer"),
        "state",
        readiness_text,
        "tier",
        "session_valid_until",
        "checked_at",
        "synced_at",
    )
    list_filter = ("state", "kind", "tier")
    list_select_related = ("follower",)
    search_fields = ("follower__name", "follower__wallet__exact", "signer__exact")
    search_help_text = "A follower's name or wallet, or the address of a key."
    ordering = ("-id",)
    actions = (bulk_action(STOP), bulk_action(START))


@admin.register(VenueFill)
class VenueFillAdmin(RecordAdmin):
    """What the venue matched of our orders, trade by trade; money moves on CONFIRMED alone."""

    columns = {"size_micros": shares("size_micros"), "price_micros": price("price_micros")}
    list_display = (
        "trade_id",
        short("venue_trade_id"),
        "status",
        shares("size_micros"),
        price("price_micros"),
        dollars("cost_micros"),
        dollars("fee_micros"),
        short("tx_hash"),
        "matched_at",
    )
    list_filter = ("status",)
    finders = (by_number("trade_id"), by_hash)
    search_help_text = "The number of a copy, or the hash of its order."
    ordering = ("-id",)
