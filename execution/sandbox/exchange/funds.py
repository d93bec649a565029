"""Balances, allowances and what open orders and trades on their way hold back. Integers of micros.

Money lives here alone; shares are those of the world's truth, but for what was matched and is not mined yet.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

from execution.sandbox.exchange.records import TradeRecord
from execution.sandbox.exchange.refusals import not_enough
from execution.sandbox.happenings import Leg
from execution.sandbox.truth import Truth

CASH = 0
"""The asset that is pUSD; every other asset is a token id."""

UNLIMITED = 2**256 - 1
ENDLESS_FROM = 2**255
"""An allowance so large does not shrink when it is used."""

Asset = tuple[str, int]
"""A wallet, lower-case, and an asset."""


class Funds:
    """What each wallet has, and what of it is free."""

    def __init__(self, truth: Truth, spenders: Iterable[str]) -> None:
        self.spenders = tuple(spenders)
        self._truth = truth
        self._cash: Counter[str] = Counter()
        self._allowances: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._approvals: defaultdict[str, set[str]] = defaultdict(set)
        self._reserved: Counter[Asset] = Counter()
        self._leaving: Counter[Asset] = Counter()
        # What the truth counts already though it is not mined: more shares (above zero) or fewer.
        self._early: Counter[Asset] = Counter()

    def fund(self, wallet: str, micros: int) -> None:
        """More pUSD, or less."""
        self._cash[wallet] += micros

    def allow(self, wallet: str, micros: int, spender: str | None = None) -> None:
        """Set what a spender, or each of them, may take of a wallet; 0 takes the approval of shares back too."""
        for each in self.spenders if spender is None else (spender,):
            self._allowances[wallet][each] = micros
        self.approve_shares(wallet, spender, on=micros > 0)

    def approve_shares(self, wallet: str, spender: str | None = None, *, on: bool) -> None:
        """Whether a spender, or each of them, may move a wallet's shares."""
        for each in self.spenders if spender is None else (spender,):
            (self._approvals[wallet].add if on else self._approvals[wallet].discard)(each)

    def balance(self, wallet: str, asset: int = CASH) -> int:
        """What the chain would say."""
        if asset == CASH:
            return self._cash[wallet]
        return self._truth.held(wallet, asset) - self._early[wallet, asset]

    def allowance(self, wallet: str, asset: int, spender: str) -> int:
        """What the spender may take; of shares all or nothing."""
        if asset == CASH:
            return self._allowances[wallet].get(spender, 0)
        return UNLIMITED if spender in self._approvals[wallet] else 0

    def free(self, wallet: str, asset: int = CASH) -> int:
        """The balance without what open orders and trades on their way hold back."""
        return self.balance(wallet, asset) - self._reserved[wallet, asset] - self._leaving[wallet, asset]

    def check(self, wallet: str, asset: int, spender: str, *, micros: int) -> None:
        """Whether an order may take so much. Raises Refused."""
        held_back = self._reserved[wallet, asset] + self._leaving[wallet, asset]
        for what, amount in (
            ("balance", self.balance(wallet, asset)),
            ("allowance", self.allowance(wallet, asset, spender)),
        ):
            if amount - held_back < micros:
                raise not_enough(what, amount, open_orders_micros=held_back, order_micros=micros)

    def reserve(self, wallet: str, asset: int, micros: int) -> None:
        """Hold back so much for an open order, or let go of it with a number below zero."""
        self._reserved[wallet, asset] += micros

    def matched(self, trade: TradeRecord) -> None:
        """Hold back what the trade will take from its users."""
        for leg in _users(trade):
            asset, micros = _gives(leg)
            self._leaving[leg.wallet, asset] += micros

    def broadcast(self, trade: TradeRecord) -> None:
        """The truth counts the trade from now on; the wallets not yet."""
        for leg in _users(trade):
            self._early[leg.wallet, leg.token_id] += leg.shares_micros if leg.side == "BUY" else -leg.shares_micros

    def mined(self, trade: TradeRecord) -> None:
        """The trade happened: what it moves is in the wallets."""
        self._release(trade)
        spender = trade.domain.contract
        for leg in _users(trade):
            sign = 1 if leg.side == "BUY" else -1
            self._early[leg.wallet, leg.token_id] -= sign * leg.shares_micros
            self._cash[leg.wallet] -= sign * leg.cash_micros + leg.fee_micros
            allowed = self._allowances[leg.wallet].get(spender, 0)
            if leg.side == "BUY" and allowed < ENDLESS_FROM:
                self._allowances[leg.wallet][spender] = max(0, allowed - leg.cash_micros - leg.fee_micros)

    def failed(self, trade: TradeRecord) -> None:
        """The trade did not happen: nothing of it is held back any more."""
        self._release(trade)

    def _release(self, trade: TradeRecord) -> None:
        for leg in _users(trade):
            asset, micros = _gives(leg)
            self._leaving[leg.wallet, asset] -= micros


def _users(trade: TradeRecord) -> list[Leg]:
    return [part.leg for part in trade.parts if part.order is not None]


def _gives(leg: Leg) -> tuple[int, int]:
    return (CASH, leg.cash_micros + leg.fee_micros) if leg.side == "BUY" else (leg.token_id, leg.shares_micros)
