"""Happenings as calls of contracts: who sends what to whom, and which shares it moves. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from execution.sandbox.chain_funds import Changes, Key
from execution.sandbox.deployment import Addresses, Contracts
from execution.sandbox.happenings import Leg, Match, Move
from execution.sandbox.markets import SandboxMarket
from execution.sandbox.position_ids import keccak256

NO_BYTES = bytes(32)
SIDES = {"BUY": 0, "SELL": 1}
BOTH_OUTCOMES = (1, 2)

GAS_BASE = 400_000
GAS_A_MAKER = 450_000
"""A mint match takes 250,000 for one maker (chain.md 3); what is not used costs nothing here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainCall:
    """One transaction. `sender` empty means any operator. `leaving` is what wallets must hold before it."""

    sender: str
    to: str
    calldata: str
    gas: int = GAS_BASE
    wallets: frozenset[str] = frozenset()
    leaving: Changes = field(default_factory=dict)
    changes: Changes = field(default_factory=dict)
    exactly: Key | None = None
    """The balance that is burned whole, and so must be as large as what is burned."""


class Caller:
    """Knows the contracts, the markets that stand on them, and the neg-risk events by their questions in order."""

    def __init__(self, contracts: Contracts, addresses: Addresses) -> None:
        self._contracts = contracts
        self._addresses = addresses
        self.markets: dict[str, SandboxMarket] = {}
        self.events: dict[str, list[SandboxMarket]] = {}

    def add(self, market: SandboxMarket) -> None:
        """A market, under the ids it has on the chain."""
        self.markets[market.condition_id] = market
        if market.neg_risk:
            self.events.setdefault(market.event_slug, []).append(market)

    def exchange_of(self, match: Match) -> str:
        """Where the match settles."""
        if match.version == "v2":
            return self._addresses.exchange_v3
        return self._addresses.neg_risk_exchange if match.neg_risk else self._addresses.exchange

    def match(self, match: Match, *, first_salt: int, now_ms: int) -> ChainCall:
        """`matchOrders` with one order for each leg."""
        taker, *makers = match.legs
        orders = [_order(leg, first_salt + number, now_ms) for number, leg in enumerate(match.legs)]
        calldata = self._contracts.exchange.call(
            "matchOrders",
            bytes.fromhex(match.condition_id.removeprefix("0x")),
            orders[0],
            orders[1:],
            _making(taker),
            [_making(leg) for leg in makers],
            taker.fee_micros,
            [leg.fee_micros for leg in makers],
        )
        moves = match.version == "v1"
        return ChainCall(
            sender="",
            to=self.exchange_of(match),
            calldata=calldata,
            gas=GAS_BASE + GAS_A_MAKER * len(makers),
            wallets=frozenset(leg.wallet.lower() for leg in match.legs) if moves else frozenset(),
            leaving=_sums(match.legs, sides=("SELL",)) if moves else {},
            changes=_sums(match.legs, sides=("BUY", "SELL"), signed=True) if moves else {},
        )

    def move(self, move: Move) -> ChainCall | None:
        """The wallet's own transaction; None where the chain has no contract for it (positions of Protocol V2)."""
        if move.kind == "REWARD":
            calldata = self._contracts.collateral.call("transfer", move.wallet, move.shares_micros)
            return ChainCall(
                sender=move.other_wallet,
                to=self._addresses.collateral,
                calldata=calldata,
                wallets=frozenset({move.other_wallet.lower()}),
            )
        market = self.markets[move.condition_id]
        if market.version == "v2":
            return None
        if move.kind in ("SPLIT", "MERGE"):
            return self._split_or_merge(move, market)
        if move.token_id is None:
            raise ValueError(f"A {move.kind} names its token.")
        return {"REDEEM": self._redeem, "CONVERSION": self._convert, "TRANSFER": self._transfer}[move.kind](
            move, market, (move.wallet.lower(), move.token_id)
        )

    def prepare(self, market: SandboxMarket, oracle: str) -> str:
        """The call to ConditionalTokens that makes the condition known."""
        return self._contracts.conditional_tokens.call("prepareCondition", oracle, _word(market.question_id), 2)

    def report(self, market: SandboxMarket, winner: int) -> str:
        """The oracle's call to ConditionalTokens that makes both tokens redeemable."""
        payouts = [int(token == winner) for token in market.token_ids]
        return self._contracts.conditional_tokens.call("reportPayouts", _word(market.question_id), payouts)

    def add_question(self, market: SandboxMarket) -> str:
        """The admin's call to the neg-risk adapter that appends a question to its event."""
        return self._contracts.neg_risk_adapter.call(
            "addQuestion", event_id(market), _word(market.condition_id), *market.token_ids
        )

    def _split_or_merge(self, move: Move, market: SandboxMarket) -> ChainCall:
        wallet, split = move.wallet.lower(), move.kind == "SPLIT"
        both = {(wallet, token): move.shares_micros for token in market.token_ids}
        return ChainCall(
            sender=wallet,
            to=self._addresses.conditional_tokens,
            calldata=self._contracts.conditional_tokens.call(
                "splitPosition" if split else "mergePositions",
                self._addresses.collateral,
                NO_BYTES,
                _word(market.condition_id),
                BOTH_OUTCOMES,
                move.shares_micros,
            ),
            wallets=frozenset({wallet}),
            leaving={} if split else both,
            changes=both if split else _negative(both),
        )

    def _redeem(self, move: Move, market: SandboxMarket, key: Key) -> ChainCall:
        burned = {key: move.shares_micros}
        return ChainCall(
            sender=key[0],
            to=self._addresses.conditional_tokens,
            calldata=self._contracts.conditional_tokens.call(
                "redeemPositions",
                self._addresses.collateral,
                NO_BYTES,
                _word(market.condition_id),
                [BOTH_OUTCOMES[market.outcome_index(key[1])]],
            ),
            wallets=frozenset({key[0]}),
            leaving=burned,
            changes=_negative(burned),
            exactly=key,
        )

    def _convert(self, move: Move, market: SandboxMarket, key: Key) -> ChainCall:
        wallet, given = key[0], {key: move.shares_micros}
        event = self.events[market.event_slug]
        index = [each.condition_id for each in event].index(market.condition_id)
        made = {(wallet, each.token_ids[0]): move.shares_micros for each in event if each.token_ids != market.token_ids}
        return ChainCall(
            sender=wallet,
            to=self._addresses.neg_risk_adapter,
            calldata=self._contracts.neg_risk_adapter.call(
                "convertPositions", event_id(market), 1 << index, move.shares_micros
            ),
            gas=GAS_BASE + GAS_A_MAKER * len(event),
            wallets=frozenset({wallet}),
            leaving=given,
            changes=made | _negative(given),
        )

    def _transfer(self, move: Move, market: SandboxMarket, key: Key) -> ChainCall:  # noqa: ARG002 (one shape for all)
        given = {key: move.shares_micros}
        return ChainCall(
            sender=key[0],
            to=self._addresses.conditional_tokens,
            calldata=self._contracts.conditional_tokens.call(
                "safeTransferFrom", move.wallet, move.other_wallet, key[1], move.shares_micros, b""
            ),
            wallets=frozenset({key[0]}),
            leaving=given,
            changes={(move.other_wallet.lower(), key[1]): move.shares_micros} | _negative(given),
        )


def event_id(market: SandboxMarket) -> bytes:
    """The neg-risk market id of the event that the market is a question of."""
    return keccak256(market.event_slug.encode())


def _order(leg: Leg, salt: int, now_ms: int) -> tuple[object, ...]:
    """The order that somebody signed, which has the hash he knows; else one exactly as large as the fill."""
    terms = leg.terms
    if terms is not None:
        parties = (terms.salt, terms.maker, terms.signer, terms.token_id, terms.making, terms.taking)
        rest = (terms.signature_type, terms.timestamp_ms, terms.metadata, terms.builder, b"")
        return (*parties, SIDES[terms.side], *rest)
    taking = leg.shares_micros if leg.side == "BUY" else leg.cash_micros
    amounts = (_making(leg), taking)
    return (salt, leg.wallet, leg.wallet, leg.token_id, *amounts, SIDES[leg.side], 0, now_ms, NO_BYTES, NO_BYTES, b"")


def _making(leg: Leg) -> int:
    return leg.cash_micros if leg.side == "BUY" else leg.shares_micros


def _sums(legs: Sequence[Leg], *, sides: Sequence[str], signed: bool = False) -> Changes:
    sums: Counter[Key] = Counter()
    for leg in legs:
        if leg.side in sides:
            sign = -1 if signed and leg.side == "SELL" else 1
            sums[(leg.wallet.lower(), leg.token_id)] += sign * leg.shares_micros
    return sums


def _negative(changes: Mapping[Key, int]) -> dict[Key, int]:
    return {key: -change for key, change in changes.items()}


def _word(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
