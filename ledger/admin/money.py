"""Money as the ledger has it. Only the engine writes these rows."""

from django.contrib import admin
from django.db.models import Q

from ledger.admin.actions import BulkAction, bulk_action
from ledger.admin.columns import dollars, percent, short
from ledger.admin.lists import by_number, by_person, moments_of
from ledger.admin.records import RecordAdmin
from ledger.bulk import try_now
from ledger.models import CashBalance, CommissionLog, Debt, LedgerEntry, ReferralVolume, ReimbursementLedger
from ledger.sql import database_now
from ledger.texts import dollar_text, share_text


@admin.register(CashBalance)
class CashBalanceAdmin(RecordAdmin):
    """What followers have and what open buys reserve."""

    list_display = ("follower", dollars("cash_micros"), dollars("reserved_micros"))
    list_select_related = ("follower",)
    search_fields = ("follower__name", "follower__wallet__exact")


@admin.display(description="amount", ordering="amount_micros")
def entry_amount(entry: LedgerEntry) -> str:
    """Money for pUSD, shares for a token."""
    return (dollar_text if entry.asset == "pUSD" else share_text)(entry.amount_micros)


def _by_key_or_account(text: str) -> Q:
    return Q(key__startswith=text) | Q(debit_account=text) | Q(credit_account=text)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(RecordAdmin):
    """Transfers, written once."""

    columns = {"amount_micros": entry_amount}
    list_display = ("created_at", "kind", entry_amount, short("asset"), "debit_account", "credit_account", "trade_id")
    list_filter = (moments_of("created_at"),)
    finders = (by_number("trade_id"), _by_key_or_account)
    search_help_text = "The number of a copy, the beginning of a key, or an account."
    ordering = ("-id",)


def _trying_now(model: type[ReimbursementLedger] | type[Debt], needs: str) -> BulkAction:
    return BulkAction(
        name="retry",
        title="Try again now",
        needs=needs,
        question="Those that wait for their next try become due now; whatever is finished stays so.",
        done="made due now",
        act=lambda rows, who, why: try_now(model, [row.pk for row in rows], who=who, why=why, now=database_now()),
    )


@admin.register(ReimbursementLedger)
class ReimbursementLedgerAdmin(RecordAdmin):
    """Float that was advanced for followers."""

    list_display = ("id", "follower", "trade_id", dollars("amount_micros"), "state", short("batch_key"), "created_at")
    list_filter = ("state", moments_of("created_at"))
    list_select_related = ("follower",)
    finders = (by_number("trade_id"), by_person(ReimbursementLedger, "follower"))
    search_help_text = "The number of a copy, or a follower."
    ordering = ("-id",)
    actions = (bulk_action(_trying_now(ReimbursementLedger, "ledger.retry_reimbursement")),)


@admin.register(Debt)
class DebtAdmin(RecordAdmin):
    """What followers owe."""

    list_display = ("id", "follower", dollars("amount_micros"), dollars("recovered_micros"), "state", "created_at")
    list_filter = ("state", moments_of("created_at"))
    list_select_related = ("follower",)
    finders = (by_number("pk"), by_person(Debt, "follower"))
    search_help_text = "The number of a debt, or a follower."
    ordering = ("-id",)
    actions = (bulk_action(_trying_now(Debt, "ledger.retry_debt")),)


@admin.register(CommissionLog)
class CommissionLogAdmin(RecordAdmin):
    """What referrers earned."""

    columns = {"rate_bps": percent("rate_bps")}
    list_display = (
        "id",
        "referrer",
        "follower",
        "trade_id",
        dollars("profit_micros"),
        percent("rate_bps"),
        dollars("amount_micros"),
        "state",
        "created_at",
    )
    list_filter = ("state", moments_of("created_at"))
    list_select_related = ("referrer", "follower")
    finders = (by_number("trade_id"), by_person(CommissionLog, "referrer", "follower"))
    search_help_text = "The number of a copy, a referrer, or a follower."
    ordering = ("-id",)


@admin.register(ReferralVolume)
class ReferralVolumeAdmin(RecordAdmin):
    """What the followers of each referrer traded on a day."""

    list_display = ("day", "referrer", dollars("volume_micros"))
    list_select_related = ("referrer",)
    search_fields = ("referrer__name", "referrer__wallet__exact")
    ordering = ("-id",)
