"""Form fields for lists in a config: tiers and words, one a line."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminTextareaWidget

from copytrading.choices import tiers_trouble, words_trouble
from ledger.admin.fields import typed_micros
from ledger.units import text_from_micros


class TiersField(forms.CharField):
    """Tiers as lines `from dollars: percent`, kept as [from_micros, percentage_bps] pairs that rise from 0."""

    def __init__(self, **kwargs: Any) -> None:
        help_text = (
            "Tiered: one a line, as `dollars: percent`. The leader's dollars pick the last line they reach; "
            "the first begins at 0. For example `0: 10` and `1000: 5`."
        )
        super().__init__(**{"widget": UnfoldAdminTextareaWidget(attrs={"rows": 3}), "help_text": help_text, **kwargs})

    def prepare_value(self, value: Any) -> Any:
        """Stored pairs as lines; what was typed stays as it was typed."""
        if not isinstance(value, Sequence) or isinstance(value, str):
            return value
        return "\n".join(f"{text_from_micros(start)}: {_percent(bps)}" for start, bps in value)

    def to_python(self, value: Any) -> Any:
        """Pairs of the lines. Raises ValidationError with a sentence that names the line."""
        lines = [line.strip() for line in str(super().to_python(value) or "").splitlines() if line.strip()]
        tiers = [_tier(number, line) for number, line in enumerate(lines, start=1)]
        _refuse(tiers_trouble(tiers))
        return tiers

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the tiers are other ones."""
        try:
            return bool(self.to_python(data) != [list(pair) for pair in initial or []])
        except ValidationError:
            return True


class WordsField(forms.CharField):
    """Words or phrases, one a line."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"widget": UnfoldAdminTextareaWidget(attrs={"rows": 3}), **kwargs})

    def prepare_value(self, value: Any) -> Any:
        """Stored words as lines."""
        return value if value is None or isinstance(value, str) else "\n".join(str(word) for word in value)

    def to_python(self, value: Any) -> Any:
        """The words, each once. Raises ValidationError."""
        lines = [line.strip() for line in str(super().to_python(value) or "").splitlines()]
        words = list(dict.fromkeys(line for line in lines if line))
        _refuse(words_trouble(words))
        return words

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the words are other ones."""
        try:
            return bool(self.to_python(data) != list(initial or []))
        except ValidationError:
            return True


def _tier(number: int, line: str) -> list[int]:
    start, colon, percent = line.partition(":")
    if not colon:
        raise ValidationError(f"Line {number}: write dollars, a colon and percent, as in `1000: 5`.")
    try:
        # A percent with up to two decimals is a whole number of basis points.
        micros, bps = typed_micros(start.strip()), typed_micros(percent.strip().rstrip("%").strip())
    except ValidationError as error:
        raise ValidationError(f"Line {number}: {error.messages[0]}") from error
    if bps % 10_000:
        raise ValidationError(f"Line {number}: a percentage has at most two decimals.")
    return [micros, bps // 10_000]


def _refuse(trouble: str) -> None:
    if trouble:
        raise ValidationError(trouble)


def _percent(bps: int) -> str:
    return text_from_micros(bps * 10_000)
