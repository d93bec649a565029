"""Form fields in people's units: what is typed as dollars is kept as micros, exactly."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminTextInputWidget

from ledger.texts import dollar_text
from ledger.units import MAX_MICROS, AmountError, micros_from_text, text_from_micros

# Explicit digits: \d also takes those of other scripts.
_DOLLARS = re.compile(r"\$?([0-9]+|[0-9]{1,3}(,[0-9]{3})+)(\.[0-9]{1,6})?")


class DollarField(forms.Field):
    """Dollars (or shares) typed by a person, exactly to the micro. Empty is `empty_micros`: None is "no bound"."""

    widget = UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"})

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
        return self._within_bounds(typed_micros(text))

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the amount is another one: "1,000.0" is what 1000000000 already was."""
        try:
            return bool(self.to_python(data) != (self._empty if initial is None else initial))
        except ValidationError:
            return True

    def _within_bounds(self, micros: int) -> int:
        if micros < self._least:
            raise ValidationError(f"Enter at least {dollar_text(self._least)}.")
        if micros > self._most:
            raise ValidationError(f"Enter at most {dollar_text(self._most)}.")
        return micros


def typed_micros(text: str) -> int:
    """Micros of dollars or shares as a person typed them. Raises ValidationError with a sentence."""
    if text.lstrip("$").startswith(("-", "\N{MINUS SIGN}")):
        raise ValidationError("An amount cannot be negative.")
    if any(character.isdigit() and not character.isascii() for character in text):
        raise ValidationError("Use the digits 0 to 9.")
    if not _DOLLARS.fullmatch(text):
        raise ValidationError("Enter dollars as 1234.56, with at most six decimals.")
    try:
        return micros_from_text(text.lstrip("$").replace(",", ""))
    except AmountError as error:
        raise ValidationError(f"Enter at most {dollar_text(MAX_MICROS)}.") from error
