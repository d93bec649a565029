"""Values and limits of refusals as people write them. Pure."""

from collections.abc import Callable

from guardrails.intents import Unit
from ledger.texts import NOTHING, dollar_text, price_text, share_text

_TEXTS: dict[str, Callable[[int], str]] = {Unit.MONEY: dollar_text, Unit.SHARES: share_text, Unit.PRICE: price_text}


def amount_text(value: int | None, unit: str) -> str:
    """A refusal's value or limit in people's units."""
    if value is None:
        return NOTHING
    if unit in _TEXTS:
        return _TEXTS[unit](value)
    return f"{value:,}" if unit in (Unit.COUNT, Unit.NONE) else f"{value:,} {unit}"
