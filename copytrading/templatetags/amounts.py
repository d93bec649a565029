"""Amounts in templates, as people write them."""

from datetime import datetime

from django import template

from copytrading.explain.reasons import title
from ledger.texts import NOTHING, dollar_text, percent_text, price_text, share_text

register = template.Library()

register.filter("dollars", dollar_text)
register.filter("shares", share_text)
register.filter("price", price_text)
register.filter("percent", percent_text)
register.filter("reason_title", title)


@register.filter
def moment(at: datetime | None) -> str:
    """A moment in UTC, to the second."""
    return NOTHING if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


@register.filter
def known(value: int | None) -> str:
    """A whole number with separators, or that it is not known."""
    return "unknown" if value is None else f"{value:,}"


@register.filter
def sign_class(micros: int | None) -> str:
    """Whether an amount is a gain or a loss."""
    if not micros:
        return "even"
    return "gain" if micros > 0 else "loss"
