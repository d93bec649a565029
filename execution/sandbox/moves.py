"""What moves a holding without an order: splits, merges, redemptions, conversions, gifts; and rewards. Pure."""

from execution.sandbox.happenings import Move
from execution.sandbox.markets import ONE
from execution.sandbox.trading import DUST, Trading
from execution.sandbox.truth import Truth
from ledger.clock import Randomness


def redemption(truth: Truth, wallet: str) -> Move | None:
    """All that a wallet holds of one token of a resolved market, worth something or not; None when that is nothing."""
    for token_id in truth.payouts:
        shares = truth.held(wallet, token_id)
        if shares > 0:
            condition_id = truth.condition_of(token_id)
            return Move(
                kind="REDEEM", wallet=wallet, condition_id=condition_id, shares_micros=shares, token_id=token_id
            )
    return None


class Moves:
    """Makes up moves that are possible with what the wallets hold."""

    def __init__(self, trading: Trading, chance: Randomness) -> None:
        self._trading = trading
        self._truth = trading.truth
        self._chance = chance

    def any(self, wallet: str) -> Move | None:
        """One of any kind; None when what was drawn is not possible."""
        kinds = (self.redeem, self.split, self.merge, self.convert, self.transfer, self.reward)
        return self._chance.choice(kinds)(wallet)

    def split(self, wallet: str) -> Move:
        """Money becomes both tokens of a market."""
        market = self._chance.choice(self._trading.open)
        shares = (20 + self._chance.below(500)) * ONE
        return Move(kind="SPLIT", wallet=wallet, condition_id=market.condition_id, shares_micros=shares)

    def merge(self, wallet: str) -> Move | None:
        """Both tokens of the first market where both are held become money."""
        for market in self._trading.open:
            shares = min(self._truth.held(wallet, token_id) for token_id in market.token_ids)
            if shares >= DUST:
                return Move(kind="MERGE", wallet=wallet, condition_id=market.condition_id, shares_micros=shares)
        return None

    def redeem(self, wallet: str) -> Move | None:
        """All that a wallet holds of one token of a resolved market, worth something or not."""
        return redemption(self._truth, wallet)

    def convert(self, wallet: str) -> Move | None:
        """Half of a "No" of a neg-risk event becomes "Yes" of each other market of the event."""
        for market in self._trading.open:
            token_id = market.token_ids[1]
            shares = self._truth.held(wallet, token_id)
            if market.neg_risk and shares >= DUST:
                return Move(
                    kind="CONVERSION",
                    wallet=wallet,
                    condition_id=market.condition_id,
                    shares_micros=shares // 2,
                    token_id=token_id,
                )
        return None

    def transfer(self, wallet: str) -> Move | None:
        """Half of something given to or by a wallet of the crowd."""
        other = self._trading.crowd_wallet()
        giver, taker = (wallet, other) if self._chance.below(2) else (other, wallet)
        token_id = next(self._trading.sellable(giver), None)
        if token_id is None:
            return None
        return Move(
            kind="TRANSFER",
            wallet=giver,
            condition_id=self._truth.condition_of(token_id),
            shares_micros=self._truth.held(giver, token_id) // 2,
            token_id=token_id,
            other_wallet=taker,
        )

    def reward(self, wallet: str) -> Move:
        """Some cents or dollars for resting orders."""
        amount = 10_000 + self._chance.below(5_000_000)
        return Move(
            kind="REWARD",
            wallet=wallet,
            condition_id="",
            shares_micros=amount,
            other_wallet=self._trading.crowd_wallet(),
        )
