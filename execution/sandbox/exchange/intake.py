"""The way of an order from its request to the floor: whose it is, whether it is signed, whether it is possible."""

from collections import Counter
from dataclasses import dataclass, replace

from execution.sandbox.board import Board
from execution.sandbox.deployment import Addresses
from execution.sandbox.exchange.checks import check_amounts, check_size, check_time, limit_price
from execution.sandbox.exchange.floor import Floor
from execution.sandbox.exchange.funds import Funds
from execution.sandbox.exchange.keys import Credentials, Keys
from execution.sandbox.exchange.matching import Offer
from execution.sandbox.exchange.records import OrderRecord
from execution.sandbox.exchange.refusals import (
    INVALID_SIGNATURE,
    NOT_READY,
    VERSION_MISMATCH,
    WRONG_OWNER,
    WRONG_SIGNER,
    Refused,
    banned,
    closed_only,
    duplicated,
    no_book,
)
from execution.sandbox.exchange.sent import SentOrder
from execution.sandbox.exchange.verifying import (
    Domain,
    Hashed,
    domain_of,
    domains,
    hash_order,
    signed_elsewhere,
    signing_key,
)
from execution.sandbox.exchange.wallets import DEPOSIT, Wallets
from execution.sandbox.markets import ONE, SandboxMarket
from execution.sandbox.trading import BPS, FEE_STEP
from execution.sandbox.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """An order whose market is known, and its hash there."""

    sent: SentOrder
    market: SandboxMarket
    domain: Domain
    hashed: Hashed


class Intake:
    """Checks orders, and gives the good ones to the floor."""

    def __init__(self, floor: Floor, funds: Funds, wallets: Wallets, *, keys: Keys, world: World, board: Board) -> None:
        self._floor = floor
        self._funds = funds
        self._wallets = wallets
        self._keys = keys
        self._world = world
        self._board = board
        self._addresses = Addresses()
        self.received: Counter[str] = Counter()
        self.banned: set[str] = set()
        self.closed_only: set[str] = set()
        self.not_ready: set[str] = set()

    def arrive(self, sent: SentOrder) -> Arrived:
        """Count it under its hash. Raises Refused for a token that no open market has."""
        market = self._world.market_of.get(sent.token_id)
        if market is None or market.condition_id in self._world.resolutions:
            raise no_book(sent.token_id)
        domain = domain_of(market, self._addresses)
        arrived = Arrived(sent=sent, market=market, domain=domain, hashed=hash_order(sent, domain))
        self.received[arrived.hashed.order_hash] += 1
        return arrived

    def take(self, arrived: Arrived, caller: Credentials) -> OrderRecord:
        """Check everything and place it. Raises Refused."""
        key = self._check_parties(arrived, caller)
        if arrived.market.condition_id in self.not_ready:
            raise Refused(NOT_READY)
        order_hash = arrived.hashed.order_hash
        if order_hash in self._floor.orders:
            raise duplicated(order_hash)
        record = self._record(arrived, key)
        met = self._floor.offers_for(record)
        check_size(arrived.sent, order_hash, marketable=bool(met))
        self._check_funds(record, met)
        self._floor.place(record, met)
        return record

    def _check_parties(self, arrived: Arrived, caller: Credentials) -> str:
        """The key that signed, which is the caller's."""
        sent, now_s = arrived.sent, self._world.now_ms() // 1_000
        if self._keys.address_of(sent.owner) != caller.address:
            raise Refused(WRONG_OWNER)
        if sent.signature_type != DEPOSIT and sent.signer != caller.address:
            raise Refused(WRONG_SIGNER)
        try:
            key = signing_key(sent, arrived.hashed, self._wallets, now_s=now_s)
        except Refused as refused:
            others = (each for each in domains(self._addresses) if each != arrived.domain)
            if refused.text == INVALID_SIGNATURE and signed_elsewhere(sent, others, self._wallets, now_s=now_s):
                raise Refused(VERSION_MISMATCH) from None
            raise
        if key != caller.address:
            raise Refused(WRONG_SIGNER)
        for address in (sent.maker, key):
            if address in self.banned:
                raise banned(address)
            if address in self.closed_only and sent.side == "BUY":
                raise closed_only(address)
        return key

    def _record(self, arrived: Arrived, key: str) -> OrderRecord:
        sent, order_hash, now_ms = arrived.sent, arrived.hashed.order_hash, self._world.now_ms()
        view = self._board.view(sent.token_id)
        tick = arrived.market.tick_micros if view is None else view.tick_micros
        check_amounts(sent, tick)
        check_time(sent, now_ms // 1_000)
        return OrderRecord(
            sent=replace(sent, signature=b""),
            order_hash=order_hash,
            market=arrived.market,
            domain=arrived.domain,
            key=key,
            price_micros=limit_price(sent, tick, order_hash),
            placed_ms=now_ms,
        )

    def _check_funds(self, record: OrderRecord, met: list[Offer]) -> None:
        """A buyer who matches at once needs the fee beside the amount (polymarket.md 2.4)."""
        needed = record.sent.making
        if record.sent.side == "BUY" and met:
            needed += _fee_at_most(record)
        self._funds.check(record.wallet, record.asset, record.domain.contract, micros=needed)


def _fee_at_most(record: OrderRecord) -> int:
    """At the order's own price; nobody knows before how far the book goes."""
    price, rate = record.price_micros, record.market.fee_rate_bps
    fee = record.sent.shares_micros * price * (ONE - price) * rate // (ONE * ONE * BPS)
    return fee // FEE_STEP * FEE_STEP
