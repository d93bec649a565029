"""From the logs of one transaction to what leaders did in it. Pure.

Order of belief: OrderFilled is the trade; token transfers operated by an exchange only repeat it. Mints and burns
belong to the split, merge or redemption in whose transaction they stand. Tokens that a leader moves through an adapter
were split, merged, redeemed or converted there: the events of the whole transaction say which. What is left is a gift
or a move between wallets (polymarket.md 1.2, chain.md 3).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal

from copytrading.signals import ActionKind
from execution.chain_events import (
    Event,
    Log,
    OrderFilled,
    PayoutRedemption,
    PositionsConverted,
    PositionsMerge,
    PositionSplit,
    Transfer,
    Undecodable,
    decode_event,
)
from execution.deployments import ZERO_ADDRESS, Deployment
from ledger.units import MAX_MICROS, ONE, AmountError, Micros, Side, micros_from_decimal

NO_PARENT = "0x" + "00" * 32

NOTHING = Micros(0)

_PADDING = "0x" + "0" * 24
# Holds every quotient of two amounts far beyond the digit that decides the rounding.
_EXACT = Context(prec=80)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An action that may still lack its condition: then `condition_id` is empty and `named_by` a token of it.

    `price_micros` is 0 but for a TRADE; `token_id` and `side` as in `LeaderAction`.
    """

    kind: ActionKind
    wallet: str
    tx_hash: str
    size_micros: Micros
    condition_id: str = ""
    named_by: int | None = None
    token_id: int | None = None
    side: Side | None = None
    price_micros: Micros = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one transaction holds: drafts, sentences about what cannot be trusted, and whether its receipt is needed."""

    drafts: tuple[Draft, ...]
    refused: tuple[str, ...]
    needs_receipt: bool


def actions_of(logs: Sequence[Log], leaders: Collection[str], contracts: Deployment, *, whole: bool) -> Found:
    """What these leaders did in one transaction, from its logs in their order.

    `whole`: these are all logs of the transaction (its receipt), not only those that name leaders. Without them an
    action through an adapter cannot be told, and `needs_receipt` says so.
    """
    reading = _Reading(contracts=contracts, leaders=leaders, whole=whole)
    for log in sorted(logs, key=lambda each: each.index):
        reading.read(log)
    return reading.found()


def names_one_of(log: Log, leaders: Collection[str]) -> bool:
    """Whether a log names one of these wallets as the one who acted."""
    return any(topic.startswith(_PADDING) and "0x" + topic[-40:] in leaders for topic in log.topics[1:])


def fill_price(shares: int, cash: int) -> Micros:
    """Cash per share, half to even. Raises AmountError unless it is inside (0, 1) and the size is usable."""
    if not 0 < shares <= MAX_MICROS or not 0 < cash <= MAX_MICROS:
        raise AmountError(f"{shares} shares for {cash} micros of pUSD are no trade")
    price = micros_from_decimal(_EXACT.divide(Decimal(cash), Decimal(shares)))
    if not 0 < price < ONE:
        raise AmountError(f"{cash} micros of pUSD for {shares} of shares are no price inside (0, 1)")
    return price


@dataclass(slots=True, kw_only=True)
class _Step:
    """A split, merge or redemption with the tokens that were minted or burned for it."""

    kind: ActionKind
    stakeholder: str
    condition_id: str
    amount: int
    tokens: dict[int, int]


@dataclass(frozen=True, slots=True)
class _Move:
    """Tokens that came to (BUY) or left (SELL) a leader; `through` an adapter, or from wallet to wallet."""

    wallet: str
    side: Side
    token_id: int
    amount: Micros
    through: bool


@dataclass(slots=True, kw_only=True)
class _Reading:
    """The events of one transaction, sorted by what they mean."""

    contracts: Deployment
    leaders: Collection[str]
    whole: bool
    drafts: list[Draft] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    steps: list[_Step] = field(default_factory=list)
    conversions: list[PositionsConverted] = field(default_factory=list)
    moves: list[_Move] = field(default_factory=list)
    fresh: dict[tuple[str, int], int] = field(default_factory=dict)
    """Minted or burned since the last step, by (holder, token)."""
    tx_hash: str = ""

    def read(self, log: Log) -> None:
        """Take one log. One that cannot be read is a sentence, never the end of the others."""
        self.tx_hash = log.tx_hash
        try:
            event = decode_event(log) if log.address in self.contracts.emitters else None
            if event is not None:
                self._take(event, log.address)
        except (Undecodable, AmountError) as error:
            if names_one_of(log, self.leaders):
                self.refused.append(str(error))

    def found(self) -> Found:
        """Everything that these logs say."""
        # Whatever way the exchange moved the tokens of a trade, the trade is told by OrderFilled alone.
        traded = {(draft.wallet, draft.token_id) for draft in self.drafts}
        moves = [move for move in self.moves if (move.wallet, move.token_id) not in traded]
        needs_receipt = not self.whole and any(move.through for move in moves)
        if not needs_receipt:
            self._tell_own_steps()
            self._tell_conversions(moves)
            self._tell_moves(moves)
        return Found(drafts=tuple(self.drafts), refused=tuple(self.refused), needs_receipt=needs_receipt)

    def _take(self, event: Event, emitter: str) -> None:
        contracts = self.contracts
        if isinstance(event, OrderFilled):
            if emitter in contracts.filling_exchanges and event.maker in self.leaders:
                self.drafts.append(_trade(event, self.tx_hash))
        elif isinstance(event, PositionsConverted):
            if emitter == contracts.neg_risk_adapter:
                self.conversions.append(event)
        elif isinstance(event, Transfer):
            if emitter in (contracts.conditional_tokens, contracts.position_manager):
                self._take_transfer(event)
        elif emitter == contracts.conditional_tokens:
            self._take_step(event)

    def _take_transfer(self, event: Transfer) -> None:
        parties = {event.operator, event.source, event.target}
        if ZERO_ADDRESS in (event.source, event.target):
            holder = event.target if event.source == ZERO_ADDRESS else event.source
            for token, amount in event.moves:
                self.fresh[holder, token] = self.fresh.get((holder, token), 0) + amount
        elif event.source != event.target and not self.contracts.exchanges & parties:
            through = bool(self.contracts.intermediaries & parties)
            self.moves += [
                _Move(wallet, side, token, _size(amount), through)
                for wallet, side in ((event.source, Side.SELL), (event.target, Side.BUY))
                for token, amount in event.moves
                if wallet in self.leaders and amount
            ]

    def _take_step(self, event: PositionSplit | PositionsMerge | PayoutRedemption) -> None:
        tokens = {token: amount for (holder, token), amount in self.fresh.items() if holder == event.stakeholder}
        for token in tokens:
            del self.fresh[event.stakeholder, token]
        if event.parent != NO_PARENT:
            raise Undecodable("A position of a position is none that the venue trades.")
        if event.stakeholder in self.leaders and event.collateral not in self.contracts.collaterals:
            raise Undecodable(f"The collateral {event.collateral} is not the venue's.")
        kind, amount = _meaning(event)
        self.steps.append(
            _Step(
                kind=kind,
                stakeholder=event.stakeholder,
                condition_id=event.condition_id,
                amount=amount,
                tokens=tokens,
            )
        )

    def _tell_own_steps(self) -> None:
        for step in self.steps:
            if step.stakeholder not in self.leaders:
                continue
            legs = step.tokens.items() if step.kind is ActionKind.REDEEM else [(None, step.amount)]
            for token, amount in legs:
                self._add(step.kind, step.stakeholder, condition_id=step.condition_id, token=token, amount=amount)

    def _tell_conversions(self, moves: Sequence[_Move]) -> None:
        """A conversion of which no token was seen to move still says that the wallet's market changed."""
        moved = {move.wallet for move in moves if move.through}
        for event in self.conversions:
            if event.stakeholder in self.leaders and event.stakeholder not in moved:
                self._add(ActionKind.CONVERSION, event.stakeholder, condition_id=event.market_id, amount=event.amount)

    def _tell_moves(self, moves: Sequence[_Move]) -> None:
        """Each token belongs to the step of its direction that minted or burned it; a set is told once."""
        sets: dict[tuple[ActionKind, str, str], dict[int, int]] = {}
        for move in moves:
            step = next(self._steps_of(move), None)
            if not move.through:
                self._add_transfer(move)
            elif step is None:
                # Converted, or moved in a way nobody can follow: what was known of it is known no more.
                self._add(ActionKind.CONVERSION, move.wallet, named=True, token=move.token_id, amount=move.amount)
            elif step.kind is ActionKind.REDEEM:
                condition, token = step.condition_id, move.token_id
                self._add(step.kind, move.wallet, condition_id=condition, token=token, amount=move.amount)
            else:
                moved = sets.setdefault((step.kind, move.wallet, step.condition_id), {})
                moved[move.token_id] = moved.get(move.token_id, 0) + move.amount
        for (kind, wallet, condition), moved in sets.items():
            self._add(kind, wallet, condition_id=condition, amount=max(moved.values()))

    def _steps_of(self, move: _Move) -> Iterator[_Step]:
        # A conversion splits too, and only its own event says how much of that is whose.
        if self.conversions:
            return iter(())
        kinds = (ActionKind.SPLIT,) if move.side is Side.BUY else (ActionKind.MERGE, ActionKind.REDEEM)
        return (step for step in self.steps if step.kind in kinds and move.token_id in step.tokens)

    def _add_transfer(self, move: _Move) -> None:
        self.drafts.append(
            Draft(
                kind=ActionKind.TRANSFER,
                wallet=move.wallet,
                tx_hash=self.tx_hash,
                size_micros=move.amount,
                named_by=move.token_id,
                token_id=move.token_id,
                side=move.side,
            )
        )

    def _add(
        self,
        kind: ActionKind,
        wallet: str,
        *,
        amount: int,
        condition_id: str = "",
        token: int | None = None,
        named: bool = False,
    ) -> None:
        """`named`: the token names the condition."""
        try:
            size = _size(amount)
        except AmountError as error:
            self.refused.append(str(error))
            return
        self.drafts.append(
            Draft(
                kind=kind,
                wallet=wallet,
                tx_hash=self.tx_hash,
                size_micros=size,
                condition_id=condition_id,
                token_id=token,
                named_by=token if named else None,
            )
        )


def _meaning(event: PositionSplit | PositionsMerge | PayoutRedemption) -> tuple[ActionKind, int]:
    if isinstance(event, PositionSplit):
        return ActionKind.SPLIT, event.amount
    if isinstance(event, PositionsMerge):
        return ActionKind.MERGE, event.amount
    return ActionKind.REDEEM, event.payout


def _trade(event: OrderFilled, tx_hash: str) -> Draft:
    if event.token_id == 0:
        raise AmountError("token 0 is collateral, never an outcome")
    return Draft(
        kind=ActionKind.TRADE,
        wallet=event.maker,
        tx_hash=tx_hash,
        size_micros=Micros(event.shares),
        price_micros=fill_price(event.shares, event.cash),
        named_by=event.token_id,
        token_id=event.token_id,
        side=event.side,
    )


def _size(amount: int) -> Micros:
    if amount > MAX_MICROS:
        raise AmountError(f"{amount} micros are absurdly many")
    return Micros(amount)
