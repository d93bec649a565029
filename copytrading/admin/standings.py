"""Where followers stand with leaders: what was carried, what the copies made, and who was stopped."""

from django.contrib import admin

from copytrading.models import CarriedSize, CopiedPosition, Standing
from copytrading.operations.bulk import exit_now, start_stopped_again
from ledger.admin import RecordAdmin, dollars, shares, short, titled
from ledger.admin.actions import BulkAction, bulk_action
from ledger.admin.lists import by_number, by_person
from ledger.sql import database_now

CONFIG_PEOPLE = tuple(
    f"config__{who}__{column}" for who in ("follower", "leader") for column in ("name", "wallet__exact")
)


@admin.display(description="config")
def config_text(row: Standing | CopiedPosition | CarriedSize) -> str:
    """Who copies whom."""
    return f"{row.config.follower} copies {row.config.leader}"


START = BulkAction(
    name="start_again",
    title="Start again",
    needs="copytrading.start_again",
    question="Stopped configs copy again. Profit, loss and drawdown are measured from now on; an exit under way ends.",
    done="started again",
    must_say_why=True,
    act=lambda rows, who, why: start_stopped_again([row.pk for row in rows], who=who, why=why),
)
EXIT = BulkAction(
    name="retry",
    title="Try the exit now",
    needs="copytrading.retry_exit",
    question="Exits that wait for their next try are tried now.",
    done="made due now",
    act=lambda rows, who, why: exit_now([row.pk for row in rows], who=who, why=why, now=database_now()),
)


@admin.register(Standing)
class StandingAdmin(RecordAdmin):
    """The profit of each config, its highest, and the stop that was reached."""

    columns = {"stopped_reason": titled("stopped_reason")}
    list_display = (
        "config_id",
        config_text,
        dollars("profit_micros"),
        dollars("peak_micros"),
        titled("stopped_reason"),
        "stopped_at",
        "exiting",
        "next_exit_at",
    )
    list_filter = (("stopped_at", admin.EmptyFieldListFilter), "exiting")
    list_select_related = ("config__follower", "config__leader")
    search_fields = CONFIG_PEOPLE
    ordering = ("-id",)
    actions = (bulk_action(START), bulk_action(EXIT))


@admin.register(CopiedPosition)
class CopiedPositionAdmin(RecordAdmin):
    """What the copies of each config did in each token."""

    columns = {"size_micros": shares("size_micros")}
    list_display = (
        "config_id",
        config_text,
        short("token_id"),
        shares("size_micros"),
        dollars("spent_micros"),
        dollars("received_micros"),
        dollars("realised_micros"),
        dollars("fees_micros"),
    )
    list_select_related = ("config__follower", "config__leader")
    finders = (by_number("config_id"), by_person(CopiedPosition, "config__follower", "config__leader"))
    search_help_text = "The number of a config, a follower, or a leader."
    ordering = ("-id",)


@admin.register(CarriedSize)
class CarriedSizeAdmin(RecordAdmin):
    """Shares under the minimum that wait for the next copy."""

    columns = {"size_micros": shares("size_micros")}
    list_display = ("config_id", config_text, short("token_id"), shares("size_micros"))
    list_select_related = ("config__follower", "config__leader")
    finders = (by_number("config_id"), by_person(CarriedSize, "config__follower", "config__leader"))
    search_help_text = "The number of a config, a follower, or a leader."
    ordering = ("-id",)
