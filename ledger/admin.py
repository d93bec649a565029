"""Admin pages of the ledger, and what the admin pages of every floor share: money in people's units, read-only records.

Nothing here decides: pages show rows, and what operators may change goes through an operation of its package.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import format_html

from ledger.models import CashBalance, CommissionLog, Debt, LedgerEntry, ReimbursementLedger
from ledger.units import MAX_MICROS, ONE, AmountError, micros_from_text, text_from_micros

Column = Callable[[Any], str]
"""A column of a list or page: the text of one row. Made once for each name, because Django compares them."""

NOTHING = "-"
SHORT_LENGTH = 16
"""Longest identifier that a list shows whole; a hash has 66 characters and a token id up to 78."""

# Explicit digits: \d also takes those of other scripts.
_DOLLARS = re.compile(r"\$?([0-9]+|[0-9]{1,3}(,[0-9]{3})+)(\.[0-9]{1,6})?")


def dollar_text(micros: int | None) -> str:
    """Exact dollars with thousands separators and at least the cents: -1234500000 -> '-$1,234.50'."""
    return NOTHING if micros is None else f"{_sign(micros)}${_grouped(micros, 2)}"


def share_text(micros: int | None) -> str:
    """Exact shares with thousands separators: 1960070000 -> '1,960.07'."""
    return NOTHING if micros is None else f"{_sign(micros)}{_grouped(micros, 0)}"


def price_text(micros: int | None) -> str:
    """An exact price with at least two decimals: 510000 -> '0.51'."""
    return NOTHING if micros is None else f"{_sign(micros)}{_grouped(micros, 2)}"


@cache
def dollars(name: str) -> Column:
    """The column of an amount of money."""
    return _column(name, dollar_text)


@cache
def shares(name: str) -> Column:
    """The column of a number of shares."""
    return _column(name, share_text)


@cache
def price(name: str) -> Column:
    """The column of a price."""
    return _column(name, price_text)


@cache
def short(name: str) -> Column:
    """The column of a hash, wallet or token id, cut in its middle; the whole of it in its tooltip."""
    return _column(name, _shortened)


class RecordAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # the stubs are generic, Django is not
    """Rows that the engine makes: shown in people's units, never added, changed or deleted here.

    A subclass says in `columns` how a field is shown (micros are dollars unless said otherwise), in `editable`
    what operators may change, and in `only_when_added` what a row that they add begins with and keeps.
    """

    columns: Mapping[str, Column] = {}
    editable: tuple[str, ...] = ()
    only_when_added: tuple[str, ...] = ()
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only where operators make rows."""
        return bool(self.only_when_added) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Only where something is editable."""
        return bool(self.editable) and super().has_change_permission(request, obj)

    def has_delete_permission(
        self,
        request: HttpRequest,  # noqa: ARG002  (Django's own)
        obj: Model | None = None,  # noqa: ARG002
    ) -> bool:
        """Never: what happened stays readable."""
        return False

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str | Column]:  # type: ignore[override]  # Django's own page takes callables
        """What may be typed first, then all the rest; when adding only what may be typed."""
        if obj is None:
            return [*self.only_when_added, *self.editable]
        typed = self._typed(request, obj)
        return [*typed, *self._shown(typed)]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str | Column]:  # type: ignore[override]
        """Everything that may not be typed."""
        return self._shown(self._typed(request, obj)) if obj else []

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: ARG002  (Django's own)
        """Write only what was changed: the engine may have written the other columns since the page was read."""
        if not change:
            obj.save(force_insert=True)
        elif form.changed_data:
            obj.save(update_fields=form.changed_data)

    def _typed(self, request: HttpRequest, obj: Model) -> tuple[str, ...]:
        return self.editable if self.has_change_permission(request, obj) else ()

    def _shown(self, typed: Sequence[str]) -> list[str | Column]:
        names = [field.name for field in self.model._meta.fields if field.name not in typed]
        return [self.columns.get(name) or (dollars(name) if name.endswith("_micros") else name) for name in names]


class DollarField(forms.Field):
    """Dollars typed by a person, exactly to the micro. Empty is `empty_micros`: None is "no bound"."""

    widget = forms.TextInput

    def __init__(
        self, *, empty_micros: int | None = None, least_micros: int = 0, most_micros: int = MAX_MICROS, **kwargs: Any
    ) -> None:
        super().__init__(required=False, **kwargs)
        self._empty, self._least, self._most = empty_micros, least_micros, most_micros

    def prepare_value(self, value: Any) -> Any:
        """Stored micros as plain text; what was typed stays as it was typed."""
        return text_from_micros(value) if isinstance(value, int) else value

    def to_python(self, value: Any) -> int | None:
        """Micros of the text. Raises ValidationError with a sentence."""
        text = str(value or "").strip()
        if not text:
            return self._empty
        if text.lstrip("$").startswith(("-", "\N{MINUS SIGN}")):
            raise ValidationError("An amount cannot be negative.")
        if any(character.isdigit() and not character.isascii() for character in text):
            raise ValidationError("Use the digits 0 to 9.")
        if not _DOLLARS.fullmatch(text):
            raise ValidationError("Enter dollars as 1234.56, with at most six decimals.")
        try:
            micros = micros_from_text(text.lstrip("$").replace(",", ""))
        except AmountError as error:
            raise ValidationError(f"{error}.") from error
        return self._within_bounds(micros)

    def _within_bounds(self, micros: int) -> int:
        if micros < self._least:
            raise ValidationError(f"Enter at least {dollar_text(self._least)}.")
        if micros > self._most:
            raise ValidationError(f"Enter at most {dollar_text(self._most)}.")
        return micros


def _column(name: str, text: Callable[[Any], str]) -> Column:
    def column(row: Any) -> str:
        return text(getattr(row, name))

    column.__name__ = f"{name}_text"
    label = name.removesuffix("_micros").replace("_", " ")
    return admin.display(description=label, ordering=name)(column)


def _sign(micros: int) -> str:
    return "-" if micros < 0 else ""


def _grouped(micros: int, decimals_min: int) -> str:
    whole, fraction = divmod(abs(micros), ONE)
    tail = f"{fraction:06d}".rstrip("0").ljust(decimals_min, "0")
    return f"{whole:,}.{tail}" if tail else f"{whole:,}"


def _shortened(value: object) -> str:
    text = "" if value is None else str(value)
    if len(text) <= SHORT_LENGTH:
        return text or NOTHING
    return format_html('<span title="{}">{}…{}</span>', text, text[:8], text[-6:])


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


@admin.register(LedgerEntry)
class LedgerEntryAdmin(RecordAdmin):
    """Transfers, written once."""

    columns = {"amount_micros": entry_amount}
    list_display = ("created_at", "kind", entry_amount, short("asset"), "debit_account", "credit_account", "trade_id")
    list_filter = ("kind", "created_at")
    search_fields = ("key__startswith", "debit_account__exact", "credit_account__exact", "asset__exact")
    ordering = ("-id",)


@admin.register(ReimbursementLedger)
class ReimbursementLedgerAdmin(RecordAdmin):
    """Float that was advanced for followers."""

    list_display = ("id", "follower", "trade_id", dollars("amount_micros"), "state", short("batch_key"), "created_at")
    list_filter = ("state", "created_at")
    list_select_related = ("follower",)
    search_fields = ("follower__name", "follower__wallet__exact", "batch_key__exact", "tx_hash__exact")
    ordering = ("-id",)


@admin.register(Debt)
class DebtAdmin(RecordAdmin):
    """What followers owe."""

    list_display = ("id", "follower", dollars("amount_micros"), dollars("recovered_micros"), "state", "created_at")
    list_filter = ("state", "created_at")
    list_select_related = ("follower",)
    search_fields = ("follower__name", "follower__wallet__exact", "tx_hash__exact")
    ordering = ("-id",)


@admin.register(CommissionLog)
class CommissionLogAdmin(RecordAdmin):
    """What referrers earned."""

    list_display = (
        "id",
        "referrer",
        "follower",
        "trade_id",
        dollars("profit_micros"),
        "rate_bps",
        dollars("amount_micros"),
        "state",
        "created_at",
    )
    list_filter = ("state", "created_at")
    list_select_related = ("referrer", "follower")
    search_fields = ("referrer__name", "referrer__wallet__exact", "follower__name", "follower__wallet__exact")
    ordering = ("-id",)
