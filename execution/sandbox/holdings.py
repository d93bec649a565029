"""What each wallet holds and paid, as `/v2/positions` tells it."""

from collections.abc import Iterator
from dataclasses import dataclass

from execution.sandbox.board import Board
from execution.sandbox.happenings import Match, Move
from execution.sandbox.markets import ONE, SandboxMarket
from execution.sandbox.rows import plain_number
from execution.sandbox.world import Event, World

DUST_MICROS = 100_000
"""The interface leaves out what is below a tenth of a share unless asked otherwise."""


@dataclass(slots=True)
class _Account:
    """Costs of one token in one wallet; `cost` is what the shares still held cost, at the average."""

    shares: int = 0
    cost: int = 0
    fees: int = 0
    bought: int = 0
    paid: int = 0
    realized: int = 0
    first_s: int = 0
    last_s: int = 0


class Positions:
    """Follows the world's events; the sizes are those of the truth."""

    def __init__(self, world: World, board: Board) -> None:
        self._world = world
        self._board = board
        self._accounts: dict[str, dict[int, _Account]] = {}
        world.listen(self._heard)

    def rows(
        self, wallet: str, *, shares_min_micros: int = DUST_MICROS, value_min_micros: int = 0
    ) -> Iterator[dict[str, object]]:
        """One row for each token with that much or more, or with nothing left of it (status CLOSED)."""
        for token_id, account in self._accounts.get(wallet, {}).items():
            size = self._world.truth.held(wallet, token_id)
            value = size * self._price(token_id) // ONE
            if size == 0 or (size >= shares_min_micros and value >= value_min_micros):
                yield self._row(wallet, token_id, account, size=size)

    def _heard(self, event: Event) -> None:
        happening, second = event.happening, event.settled.block_time_s
        if isinstance(happening, Match):
            for leg in happening.legs:
                account = self._account(leg.wallet, leg.token_id, second)
                if leg.side == "BUY":
                    account.fees += leg.fee_micros
                    _bought(account, leg.shares_micros, leg.cash_micros)
                else:
                    _sold(account, leg.shares_micros, leg.cash_micros - leg.fee_micros)
        else:
            self._moved(happening, second)

    def _moved(self, move: Move, second: int) -> None:
        market = self._world.markets.get(move.condition_id)
        if market is None:
            return
        if move.kind in ("SPLIT", "MERGE"):
            for token_id in market.token_ids:
                account = self._account(move.wallet, token_id, second)
                change = _bought if move.kind == "SPLIT" else _sold
                change(account, move.shares_micros, move.shares_micros // 2)
            return
        if move.token_id is not None:
            cash = self._world.truth.cash_of(move)
            _sold(self._account(move.wallet, move.token_id, second), move.shares_micros, cash)
            if move.kind == "TRANSFER":
                _bought(self._account(move.other_wallet, move.token_id, second), move.shares_micros, 0)
        if move.kind == "CONVERSION":
            for other in self._world.siblings(market):
                _bought(self._account(move.wallet, other.token_ids[0], second), move.shares_micros, 0)

    def _account(self, wallet: str, token_id: int, second: int) -> _Account:
        account = self._accounts.setdefault(wallet, {}).setdefault(token_id, _Account(first_s=second))
        account.last_s = second
        return account

    def _row(self, wallet: str, token_id: int, account: _Account, *, size: int) -> dict[str, object]:
        market = self._world.market_of[token_id]
        price = self._price(token_id)
        value = size * price // ONE
        cost = account.cost if size else 0
        average = account.paid * ONE // account.bought if account.bought else 0
        unrealized = value - cost
        index = market.outcome_index(token_id)
        return {
            "proxy_wallet": wallet,
            "token_id": str(token_id),
            "condition_id": market.condition_id,
            "current_size": plain_number(size),
            "avg_price": plain_number(average),
            "entry_cost_usdc": plain_number(cost),
            "entry_fees_usdc": plain_number(account.fees),
            "total_cost_usdc": plain_number(account.paid + account.fees),
            "current_price": plain_number(price),
            "current_value": plain_number(value),
            "total_size": plain_number(account.bought),
            "realized_pnl": plain_number(account.realized),
            "unrealized_pnl": plain_number(unrealized),
            "total_pnl": plain_number(account.realized + unrealized),
            "percent_pnl": plain_number(
                (account.realized + unrealized) * 100 * ONE // account.paid if account.paid else 0
            ),
            "status": self._status(wallet, market, token_id),
            "redeemable": token_id in self._world.truth.payouts,
            "mergeable": self._mergeable(wallet, market),
            "negative_risk": market.neg_risk,
            "title": market.title,
            "slug": market.slug,
            "event_slug": market.event_slug,
            "event_id": market.event_slug,
            "outcome": market.outcomes[index],
            "outcome_index": index,
            "opposite_token_id": str(market.other_token(token_id)),
            "opposite_outcome": market.outcomes[1 - index],
            "end_date": "2030-01-01",
            "first_entry_at": account.first_s,
            "last_event_at": account.last_s,
        }

    def _status(self, wallet: str, market: SandboxMarket, token_id: int) -> str:
        payout = self._world.truth.payouts.get(token_id)
        if not self._world.truth.held(wallet, token_id):
            return "CLOSED"
        if payout is not None:
            return "REDEEMABLE" if payout else "REDEEMABLE_LOST"
        return "MERGEABLE" if self._mergeable(wallet, market) else "OPEN"

    def _mergeable(self, wallet: str, market: SandboxMarket) -> bool:
        return all(self._world.truth.held(wallet, token_id) > 0 for token_id in market.token_ids)

    def _price(self, token_id: int) -> int:
        payout = self._world.truth.payouts.get(token_id)
        if payout is not None:
            return payout
        view = self._board.view(token_id)
        return 0 if view is None else view.last_micros


def _bought(account: _Account, shares: int, cash: int) -> None:
    account.shares += shares
    account.cost += cash
    account.bought += shares
    account.paid += cash


def _sold(account: _Account, shares: int, cash: int) -> None:
    part = account.cost * min(shares, account.shares) // account.shares if account.shares > 0 else 0
    account.cost -= part
    account.realized += cash - part
    account.shares = max(0, account.shares - shares)
