"""Who holds a shard, and what the dashboard heard. Only the engine writes these rows."""

from django.contrib import admin

from copytrading.models import DashboardEvent, DashboardSequence, ShardLease, ShardStandby
from ledger.admin import RecordAdmin, moments_of


@admin.register(ShardLease)
class ShardLeaseAdmin(RecordAdmin):
    """Who holds which shard."""

    list_display = ("__str__", "holder", "term", "expires_at", "renewed_at")
    list_filter = ("of",)
    search_fields = ("holder",)


@admin.register(ShardStandby)
class ShardStandbyAdmin(RecordAdmin):
    """Who waits for which shard."""

    list_display = ("__str__", "since", "seen_at")
    list_filter = ("of",)
    search_fields = ("holder",)


@admin.register(DashboardSequence)
class DashboardSequenceAdmin(RecordAdmin):
    """The last sequence given out."""

    list_display = ("id", "last")


@admin.register(DashboardEvent)
class DashboardEventAdmin(RecordAdmin):
    """What the dashboard heard."""

    list_display = ("sequence", "kind", "created_at")
    list_filter = ("kind", moments_of("created_at"))
    search_fields = ("sequence__exact",)
    ordering = ("-sequence",)
