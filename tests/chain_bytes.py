"""Logs and calldata as a node of the chain shows them, encoded by eth_abi, which the engine itself does not use."""

from typing import Any

from eth_abi.abi import encode

from execution.chain_events import (
    ORDER_FILLED,
    PAYOUT_REDEMPTION,
    POSITION_SPLIT,
    POSITIONS_CONVERTED,
    POSITIONS_MERGE,
    TRANSFER_BATCH,
    TRANSFER_SINGLE,
)
from execution.deployments import POLYGON, deployment_on
from execution.match_calldata import MATCH_ORDERS
from ledger.units import ONE

POLYGON_CONTRACTS = deployment_on(POLYGON)
LENA, OTTO, STRANGER = "0x" + "1e" * 20, "0x" + "07" * 20, "0x" + "ee" * 20
ZERO = "0x" + "00" * 20
CONDITION = "0x" + "c0" * 32
YES, NO = 7001, 7002

JsonLog = dict[str, Any]
ORDER = "(uint256,address,address,uint256,uint256,uint256,uint8,uint8,uint256,bytes32,bytes32,bytes)"


def topic(address: str) -> str:
    return "0x" + address[2:].rjust(64, "0")


def hash_of(number: int) -> str:
    return f"0x{number:064x}"


def log(address: str, topics: list[str], types: list[str], values: list[Any]) -> JsonLog:
    """A log without its place in a block."""
    return {"address": address, "topics": topics, "data": "0x" + encode(types, values).hex(), "removed": False}


def placed(logs: list[JsonLog], *, tx: str = hash_of(0xAA), block: int = 1, block_hash: str = "") -> list[JsonLog]:
    """The same logs as the only transaction of a block."""
    place = {"transactionHash": tx, "blockNumber": hex(block), "blockHash": block_hash or hash_of(block)}
    return [{**each, **place, "logIndex": hex(index)} for index, each in enumerate(logs)]


def filled(
    maker: str = LENA,
    *,
    side: str = "BUY",
    token: int = YES,
    shares: int = 1_000 * ONE,
    cash: int = 500 * ONE,
    taker: str = STRANGER,
    exchange: str = POLYGON_CONTRACTS.exchange_v2,
    order: int = 1,
) -> JsonLog:
    amounts = (cash, shares) if side == "BUY" else (shares, cash)
    types = ["uint8", "uint256", "uint256", "uint256", "uint256", "bytes32", "bytes32"]
    values = [int(side == "SELL"), token, *amounts, 0, bytes(32), bytes(32)]
    return log(exchange, [ORDER_FILLED, hash_of(order), topic(maker), topic(taker)], types, values)


def moved(source: str, target: str, *, operator: str = "", amounts: dict[int, int], batch: bool = False) -> JsonLog:
    """A TransferSingle, or a TransferBatch; by its source unless another operator is named."""
    parties = [topic(each) for each in (operator or source, source, target)]
    ctf = POLYGON_CONTRACTS.conditional_tokens
    if batch:
        types, values = ["uint256[]", "uint256[]"], [list(amounts), list(amounts.values())]
        return log(ctf, [TRANSFER_BATCH, *parties], types, values)
    [(token, amount)] = amounts.items()
    return log(ctf, [TRANSFER_SINGLE, *parties], ["uint256", "uint256"], [token, amount])


def split(who: str, amount: int, *, merge: bool = False, collateral: str = POLYGON_CONTRACTS.collateral) -> JsonLog:
    topics = [POSITIONS_MERGE if merge else POSITION_SPLIT, topic(who), hash_of(0), CONDITION]
    types = ["address", "uint256[]", "uint256"]
    return log(POLYGON_CONTRACTS.conditional_tokens, topics, types, [collateral, [1, 2], amount])


def redeemed(who: str, payout: int) -> JsonLog:
    topics = [PAYOUT_REDEMPTION, topic(who), topic(POLYGON_CONTRACTS.collateral), hash_of(0)]
    types = ["bytes32", "uint256[]", "uint256"]
    values = [bytes.fromhex(CONDITION[2:]), [1, 2], payout]
    return log(POLYGON_CONTRACTS.conditional_tokens, topics, types, values)


def converted(who: str, amount: int, *, market: str = hash_of(0xBB)) -> JsonLog:
    topics = [POSITIONS_CONVERTED, topic(who), market, hash_of(1)]
    return log(POLYGON_CONTRACTS.neg_risk_adapter, topics, ["uint256"], [amount])


def order(maker: str, side: str, token: int, *, gives: int, takes: int) -> tuple[Any, ...]:
    return (1, maker, maker, token, gives, takes, int(side == "SELL"), 0, 1, bytes(32), bytes(32), b"\x01" * 65)


def match_calldata(taker: Any, makers: list[Any], taker_fill: int, maker_fills: list[int]) -> bytes:
    types = ["bytes32", ORDER, f"{ORDER}[]", "uint256", "uint256[]", "uint256", "uint256[]"]
    condition = bytes.fromhex(CONDITION[2:])
    values = [condition, taker, makers, taker_fill, maker_fills, 0, [0] * len(makers)]
    return MATCH_ORDERS + encode(types, values)
