"""The order terms of tokens as they were last read, for those who are asked by token and cannot wait."""

from collections import OrderedDict

from execution.preflight import MarketTerms

TOKENS_MAX = 20_000
"""Oldest out beyond this: twice the markets that are open at a time."""

USUAL = MarketTerms()


class KnownTerms:
    """Terms by token id; a token never noted has the venue's usual ones."""

    def __init__(self) -> None:
        self._terms: OrderedDict[int, MarketTerms] = OrderedDict()

    def note(self, token_id: int, terms: MarketTerms) -> None:
        """Remember what was just read."""
        self._terms[token_id] = terms
        self._terms.move_to_end(token_id)
        if len(self._terms) > TOKENS_MAX:
            self._terms.popitem(last=False)

    def of(self, token_id: int) -> MarketTerms:
        """What is known of this token."""
        return self._terms.get(token_id, USUAL)
