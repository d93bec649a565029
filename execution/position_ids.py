"""The ids of Protocol V2 positions, which name their condition themselves. Pure. (polymarket.md 2.3)

From the top: module 8 bits, base hash 128, arity 16, reserved 64 (zero), resolution chain 16, condition index 16,
outcome index 8. The condition is everything above the outcome, as bytes31, shown with a zero byte behind it.
"""

MODULES = frozenset({1, 2, 3})
"""Binary, negative risk, combination."""

_MODULE_SHIFT, _RESERVED_SHIFT, _RESERVED_BITS, _OUTCOME_BITS, _ID_BITS = 248, 40, 64, 8, 256


def is_position_id(token_id: int) -> bool:
    """Whether a token is a position of Protocol V2; one of the older kind looks so once in 10^21."""
    if not 0 < token_id < 1 << _ID_BITS:
        return False
    reserved = (token_id >> _RESERVED_SHIFT) & ((1 << _RESERVED_BITS) - 1)
    return reserved == 0 and token_id >> _MODULE_SHIFT in MODULES


def condition_of_position(token_id: int) -> str:
    """The condition that a position id names, 0x and 64 digits. Raises ValueError for any other token."""
    if not is_position_id(token_id):
        raise ValueError("the token is no position id")
    return f"0x{token_id >> _OUTCOME_BITS << _OUTCOME_BITS:064x}"


def looks_like_v2(condition_id: str) -> bool:
    """Whether a condition may be one of Protocol V2: the zero byte at its end, which one in 256 others has too."""
    return condition_id.endswith("00")
