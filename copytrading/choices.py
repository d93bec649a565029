"""What the lists of a config must be like, with a sentence for each thing that is wrong. Pure."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

TIERS_MAX = 20
WORDS_MAX = 50
WORD_LENGTH_MAX = 80

BPS_MAX = 1_000_000
"""As for the other percentages: a hundred times the leader's size."""


def tiers_trouble(tiers: Any) -> str:
    """Why these are no tiers: [from_micros, percentage_bps] pairs that begin at 0 and rise. Empty when they are."""
    if not isinstance(tiers, Sequence) or isinstance(tiers, str) or not all(map(_is_pair, tiers)):
        return "Tiers are pairs of two whole numbers: from how many micros, and how many basis points."
    if len(tiers) > TIERS_MAX:
        return f"Enter at most {TIERS_MAX} tiers."
    if any(bps > BPS_MAX for _start, bps in tiers):
        return f"A tier may copy at most {BPS_MAX // 100:,} percent."
    if tiers and tiers[0][0] != 0:
        return "The first tier must begin at 0, so that every trade has one."
    for number, (before, after) in enumerate(pairwise(tiers), start=2):
        if after[0] <= before[0]:
            return f"Tier {number} must begin above tier {number - 1}."
    return ""


def words_trouble(words: Any) -> str:
    """Why these are no words of a filter: a list of different, short, not empty texts. Empty when they are."""
    if not isinstance(words, Sequence) or isinstance(words, str) or not all(isinstance(word, str) for word in words):
        return "Enter a list of words."
    if len(words) > WORDS_MAX:
        return f"Enter at most {WORDS_MAX} lines."
    for word in words:
        if not word.strip():
            return "A word cannot be empty: it would be in every title."
        if len(word) > WORD_LENGTH_MAX:
            return f"Shorten “{word[:20]}…” to {WORD_LENGTH_MAX} characters."
    return "" if len(set(words)) == len(words) else "Enter each word once."


def _is_pair(tier: Any) -> bool:
    if not isinstance(tier, Sequence) or isinstance(tier, str) or len(tier) != 2:
        return False
    return all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in tier)
