"""The ids that the real ConditionalTokens compute for a condition and its two tokens. Pure."""

from Crypto.Hash import keccak

FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""The prime of the curve alt_bn128, y^2 = x^3 + 3."""

OUTCOMES = 2


def keccak256(message: bytes) -> bytes:
    """Ethereum's hash."""
    digest: bytes = keccak.new(digest_bits=256, data=message).digest()
    return digest


def condition_id(oracle: str, question_id: str) -> str:
    """Of a question of two outcomes that the oracle answers."""
    return "0x" + keccak256(_bytes(oracle, 20) + _bytes(question_id, 32) + OUTCOMES.to_bytes(32, "big")).hex()


def token_ids(collateral: str, condition: str) -> tuple[int, int]:
    """The tokens of the first and the second outcome, backed by that collateral."""
    first, second = (
        keccak256(_bytes(collateral, 20) + _collection_id(_bytes(condition, 32), index_set)) for index_set in (1, 2)
    )
    return int.from_bytes(first, "big"), int.from_bytes(second, "big")


def _collection_id(condition: bytes, index_set: int) -> bytes:
    """The compressed point of the curve that the hash leads to: x, and in bit 254 whether y is odd."""
    start = int.from_bytes(keccak256(condition + index_set.to_bytes(32, "big")), "big")
    x = start % FIELD  # the contract's addmod: the first step is taken on the whole hash, which is the same
    while True:
        x = (x + 1) % FIELD
        square = (pow(x, 3, FIELD) + 3) % FIELD
        y = pow(square, (FIELD + 1) // 4, FIELD)
        if y * y % FIELD == square:
            break
    odd = bool(start >> 255)
    if odd != bool(y % 2):
        y = FIELD - y
    return ((x ^ 1 << 254) if y % 2 else x).to_bytes(32, "big")


def _bytes(text: str, length: int) -> bytes:
    value = bytes.fromhex(text.removeprefix("0x"))
    if len(value) != length:
        raise ValueError(f"{text} is not {length} bytes.")
    return value
