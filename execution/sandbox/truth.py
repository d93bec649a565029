"""The truth of the sandbox: each wallet's actions as exact totals, and what each wallet holds."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from execution.sandbox.happenings import Happening, Leg, Match, Move, Settled
from execution.sandbox.markets import SandboxMarket, siblings


@dataclass(frozen=True, slots=True)
class TruthKey:
    """One action of a wallet. `token_id` None and `side` empty where the action has none; `kind` TRADE or a move's."""

    wallet: str
    tx_hash: str
    condition_id: str
    token_id: int | None
    side: str
    kind: str


@dataclass(slots=True)
class Total:
    """The exact sums of an action's fills; cash without the fee."""

    shares_micros: int = 0
    cash_micros: int = 0
    fee_micros: int = 0
    fills: int = 0


class Truth:
    """Grows with each settled happening and forgets nothing."""

    def __init__(self, markets: Mapping[str, SandboxMarket], market_of: Mapping[int, SandboxMarket]) -> None:
        """`markets` by condition and by token; both may grow."""
        self._markets = markets
        self._market_of = market_of
        self.totals: dict[TruthKey, Total] = {}
        self.holdings: defaultdict[str, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
        self.payouts: dict[int, int] = {}
        """What a share of a token pays, in micros, once its market is resolved."""

    def add(self, happening: Happening, settled: Settled) -> None:
        """Count a settled happening, and move what the wallets hold."""
        if isinstance(happening, Match):
            for leg in happening.legs:
                self._add_leg(leg, happening.condition_id, settled)
        else:
            self._add_move(happening, settled)

    def held(self, wallet: str, token_id: int) -> int:
        """Shares of a token, in micros; below zero for a wallet that sold what the sandbox never saw it buy."""
        tokens = self.holdings.get(wallet)
        return 0 if tokens is None else tokens.get(token_id, 0)

    def condition_of(self, token_id: int) -> str:
        """The condition of a known token."""
        return self._market_of[token_id].condition_id

    def cash_of(self, move: Move) -> int:
        """The pUSD that a move puts into or takes out of the wallet, in micros."""
        if move.kind == "REDEEM":
            return move.shares_micros * self.payouts.get(move.token_id or 0, 0) // 1_000_000
        return move.shares_micros if move.kind in ("MERGE", "SPLIT", "REWARD") else 0

    def rows(self, wallet: str | None = None) -> Iterator[tuple[TruthKey, Total]]:
        """All totals in the order of their first fill, or those of one wallet."""
        for key, total in self.totals.items():
            if wallet in (None, key.wallet):
                yield key, total

    def as_json(self, wallet: str | None = None) -> dict[str, object]:
        """`{"groups": […], "holdings": {wallet: {token: micros}}}`; token ids are text."""
        groups = [
            {
                "wallet": key.wallet,
                "tx_hash": key.tx_hash,
                "condition_id": key.condition_id,
                "token_id": "" if key.token_id is None else str(key.token_id),
                "side": key.side,
                "kind": key.kind,
                "shares_micros": total.shares_micros,
                "cash_micros": total.cash_micros,
                "fee_micros": total.fee_micros,
                "fills": total.fills,
            }
            for key, total in self.rows(wallet)
        ]
        wallets: Mapping[str, Mapping[int, int]] = self.holdings
        if wallet is not None:
            wallets = {wallet: self.holdings.get(wallet, {})}
        holdings = {
            name: {str(token): micros for token, micros in tokens.items() if micros} for name, tokens in wallets.items()
        }
        return {"groups": groups, "holdings": holdings}

    def _add_leg(self, leg: Leg, condition_id: str, settled: Settled) -> None:
        key = TruthKey(leg.wallet, settled.tx_hash, condition_id, leg.token_id, leg.side, "TRADE")
        self._count(key, Total(leg.shares_micros, leg.cash_micros, leg.fee_micros))
        self._hold(leg.wallet, leg.token_id, leg.shares_micros if leg.side == "BUY" else -leg.shares_micros)

    def _add_move(self, move: Move, settled: Settled) -> None:
        amount, market = move.shares_micros, self._markets.get(move.condition_id)
        key = TruthKey(move.wallet, settled.tx_hash, move.condition_id, move.token_id, "", move.kind)
        total = Total(amount, self.cash_of(move))
        if move.kind == "TRANSFER" and move.token_id is not None:
            for wallet, side, sign in ((move.wallet, "SELL", -1), (move.other_wallet, "BUY", 1)):
                own = TruthKey(wallet, settled.tx_hash, move.condition_id, move.token_id, side, move.kind)
                self._count(own, Total(amount))
                self._hold(wallet, move.token_id, sign * amount)
            return
        self._count(key, total)
        if market is not None and move.kind in ("SPLIT", "MERGE"):
            for token_id in market.token_ids:
                self._hold(move.wallet, token_id, amount if move.kind == "SPLIT" else -amount)
        elif move.token_id is not None:
            self._hold(move.wallet, move.token_id, -amount)
        if market is not None and move.kind == "CONVERSION":
            for other in siblings(market, tuple(self._markets.values())):
                self._hold(move.wallet, other.token_ids[0], amount)

    def _count(self, key: TruthKey, more: Total) -> None:
        total = self.totals.setdefault(key, Total())
        total.shares_micros += more.shares_micros
        total.cash_micros += more.cash_micros
        total.fee_micros += more.fee_micros
        total.fills += 1

    def _hold(self, wallet: str, token_id: int, change: int) -> None:
        self.holdings[wallet][token_id] += change
