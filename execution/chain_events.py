"""Decodes the logs of the venue's contracts: fills, transfers, splits, merges, redemptions, conversions. Pure.

Layouts: shared/reference/polymarket.md section 1.1. OrdersMatched is left out on purpose: it repeats what the
OrderFilled logs of its transaction say, and adding both would double a trade.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from execution.abi_words import AbiError, Words, address_of_word
from ledger.units import Side

ORDER_FILLED = "0xd543adfd945773f1a62f74f0ee55a5e3b9b1a28262980ba90b1a89f2ea84d8ee"
TRANSFER_SINGLE = "0xc3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62"
TRANSFER_BATCH = "0x4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb"
POSITION_SPLIT = "0x2e6bb91f8cbcda0c93623c54d0403a43514fabc40084ec96b6d5379a74786298"
POSITIONS_MERGE = "0x6f13ca62553fcc2bcd2372180a43949c1e4cebba603901ede2f4e14f36b282ca"
PAYOUT_REDEMPTION = "0x2682012a4a4f1973119f1c9b90745d1bd91fa2bab387344f044cb3586864d18d"
POSITIONS_CONVERTED = "0xb03d19dddbc72a87e735ff0ea3b57bef133ebe44e1894284916a84044deb367e"

DATA_MAX = 1 << 20
"""Bytes of a log's data; a batch of all tokens of the largest market has a few thousand."""

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,16}")
_BYTES = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


class Undecodable(ValueError):
    """A log that does not hold what its first topic promises; the message says why in one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One log as a node gives it, hashes and addresses in lower case. `removed`: its block left the chain."""

    address: str
    topics: tuple[str, ...]
    data: bytes
    block_number: int
    block_hash: str
    tx_hash: str
    index: int
    removed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilled:
    """A part of one order was filled. `maker` is who signed the order, resting or taking.

    BUY: `maker_amount` pUSD for `taker_amount` shares; SELL the reverse; all of 6 decimals. `taker` is the exchange
    itself where the order was the aggressor.
    """

    order_hash: str
    maker: str
    taker: str
    side: Side
    token_id: int
    maker_amount: int
    taker_amount: int
    fee: int

    @property
    def shares(self) -> int:
        """What changed hands, in micros."""
        return self.taker_amount if self.side is Side.BUY else self.maker_amount

    @property
    def cash(self) -> int:
        """What was paid for it without the fee, in micros."""
        return self.maker_amount if self.side is Side.BUY else self.taker_amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Outcome tokens moved: (token id, amount) for each. The zero address at an end is a mint or a burn."""

    operator: str
    source: str
    target: str
    moves: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionSplit:
    """Collateral became a full set of outcome tokens."""

    stakeholder: str
    collateral: str
    parent: str
    condition_id: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionsMerge:
    """A full set of outcome tokens became collateral."""

    stakeholder: str
    collateral: str
    parent: str
    condition_id: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutRedemption:
    """Tokens of a resolved condition were paid out; how many of each stands in the burns before it."""

    stakeholder: str
    collateral: str
    parent: str
    condition_id: str
    payout: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionsConverted:
    """NO tokens of a neg-risk market became YES tokens of its other conditions and collateral."""

    stakeholder: str
    market_id: str
    amount: int


Event = OrderFilled | Transfer | PositionSplit | PositionsMerge | PayoutRedemption | PositionsConverted


def read_log(value: object) -> Log:
    """A log from a node's JSON. Raises Undecodable."""
    if not isinstance(value, Mapping):
        raise Undecodable("A log is no object.")
    topics = value.get("topics")
    if not isinstance(topics, list) or len(topics) > 4:
        raise Undecodable("The topics of a log are no list of at most four.")
    return Log(
        address=_text(value.get("address"), _ADDRESS, "address"),
        topics=tuple(_text(topic, _HASH, "topic") for topic in topics),
        data=_bytes(value.get("data")),
        block_number=quantity(value.get("blockNumber")),
        block_hash=_text(value.get("blockHash"), _HASH, "block hash"),
        tx_hash=_text(value.get("transactionHash"), _HASH, "transaction hash"),
        index=quantity(value.get("logIndex")),
        removed=value.get("removed") is True,
    )


def quantity(value: object) -> int:
    """A JSON-RPC quantity of at most 64 bits. Raises Undecodable."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise Undecodable(f"{str(value)[:40]!r} is no quantity.")
    return int(value, 16)


def decode_event(log: Log) -> Event | None:
    """What a log says; None for a topic that is none of ours. Raises Undecodable.

    Who emitted it is for the caller to judge: anybody may emit anything.
    """
    reader = _READERS.get(log.topics[0]) if log.topics else None
    if reader is None:
        return None
    read, topics = reader
    if len(log.topics) != topics:
        raise Undecodable(f"A log has {len(log.topics)} topics and not {topics}.")
    try:
        return read(log, Words(log.data))
    except AbiError as error:
        raise Undecodable(f"A log cannot be read. {error}") from None


def _order_filled(log: Log, words: Words) -> OrderFilled:
    return OrderFilled(
        order_hash=log.topics[1],
        maker=_party(log, 2),
        taker=_party(log, 3),
        side=_SIDES[words.small(0, below=2)],
        token_id=words.uint(1),
        maker_amount=words.uint(2),
        taker_amount=words.uint(3),
        fee=words.uint(4),
    )


def _transfer_single(log: Log, words: Words) -> Transfer:
    moves = ((words.uint(0), words.uint(1)),)
    return Transfer(operator=_party(log, 1), source=_party(log, 2), target=_party(log, 3), moves=moves)


def _transfer_batch(log: Log, words: Words) -> Transfer:
    tokens, amounts = words.uints(0), words.uints(1)
    if len(tokens) != len(amounts):
        raise AbiError(f"{len(tokens)} tokens have {len(amounts)} amounts.")
    moves = tuple(zip(tokens, amounts, strict=True))
    return Transfer(operator=_party(log, 1), source=_party(log, 2), target=_party(log, 3), moves=moves)


def _position_split(log: Log, words: Words) -> PositionSplit:
    return PositionSplit(
        stakeholder=_party(log, 1),
        collateral=words.address(0),
        parent=log.topics[2],
        condition_id=log.topics[3],
        amount=words.uint(2),
    )


def _positions_merge(log: Log, words: Words) -> PositionsMerge:
    return PositionsMerge(
        stakeholder=_party(log, 1),
        collateral=words.address(0),
        parent=log.topics[2],
        condition_id=log.topics[3],
        amount=words.uint(2),
    )


def _payout_redemption(log: Log, words: Words) -> PayoutRedemption:
    return PayoutRedemption(
        stakeholder=_party(log, 1),
        collateral=_party(log, 2),
        parent=log.topics[3],
        condition_id=words.hash(0),
        payout=words.uint(2),
    )


def _positions_converted(log: Log, words: Words) -> PositionsConverted:
    return PositionsConverted(stakeholder=_party(log, 1), market_id=log.topics[2], amount=words.uint(0))


_SIDES = (Side.BUY, Side.SELL)

_READERS: Mapping[str, tuple[Callable[[Log, Words], Event], int]] = {
    ORDER_FILLED: (_order_filled, 4),
    TRANSFER_SINGLE: (_transfer_single, 4),
    TRANSFER_BATCH: (_transfer_batch, 4),
    POSITION_SPLIT: (_position_split, 4),
    POSITIONS_MERGE: (_positions_merge, 4),
    PAYOUT_REDEMPTION: (_payout_redemption, 4),
    POSITIONS_CONVERTED: (_positions_converted, 4),
}
"""By first topic: the reader, and how many topics such a log has."""


def _party(log: Log, topic: int) -> str:
    return address_of_word(bytes.fromhex(log.topics[topic][2:]))


def _text(value: object, pattern: re.Pattern[str], meaning: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Undecodable(f"{str(value)[:80]!r} is no {meaning}.")
    return value.lower()


def _bytes(value: object) -> bytes:
    if not isinstance(value, str) or len(value) > 2 * DATA_MAX or not _BYTES.fullmatch(value):
        raise Undecodable("The data of a log is no text of bytes.")
    return bytes.fromhex(value[2:])
