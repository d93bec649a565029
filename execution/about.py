"""What a market is about, as filters look at it, prepared once so that asking for many followers costs little. Pure."""

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime

from ledger.units import Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketAbout:
    """The facts of a market that a filter may ask for; None and the empty text are unknown.

    `category_key` and `phrases` are the category and the title as `category_key` and `phrase_key` write them.
    """

    ends_at: datetime | None = None
    liquidity_micros: Micros | None = None
    volume_micros: Micros | None = None
    category: str = ""
    title: str = ""
    category_key: str = field(init=False)
    phrases: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "category_key", category_key(self.category))
        object.__setattr__(self, "phrases", phrase_key(self.title))


def category_key(category: str) -> str:
    """A category for comparing: without case, compatibility forms and outer space."""
    return _folded(category).strip()


def phrase_key(text: str) -> str:
    """The words of a text without case, each between spaces: one key stands in another exactly as a whole phrase.

    Punctuation separates words; a sign like $ or + is a word of its own. Empty when there is no word.
    """
    words = "".join(_shown(character) for character in _folded(text)).split()
    return f" {' '.join(words)} " if words else ""


def _folded(text: str) -> str:
    # Folding may undo the normal form, so it is made twice (Unicode, chapter 3.13, on caseless matching).
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _shown(character: str) -> str:
    kind = unicodedata.category(character)[0]
    # Marks belong to their letter: without them Hindi and Thai words would fall apart.
    if kind in "LMN":
        return character
    return f" {character} " if kind == "S" else " "


UNKNOWN_ABOUT = MarketAbout()
"""A market of which nothing is known."""
