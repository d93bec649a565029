"""Reads ABI-encoded bytes word by word, every offset and length checked: the bytes come from strangers. Pure."""

WORD = 32

ITEMS_MAX = 4_096
"""Elements of one array; a block's gas holds fewer."""

_ADDRESS_END = 1 << 160


class AbiError(ValueError):
    """The bytes do not hold what they must; the message says what in one sentence."""


class Words:
    """A part of ABI-encoded bytes; offsets inside it count from its beginning."""

    __slots__ = ("_base", "_bytes")

    def __init__(self, encoded: bytes, base: int = 0) -> None:
        self._bytes, self._base = encoded, base

    def uint(self, index: int) -> int:
        """The word at an index as an unsigned integer. Raises AbiError."""
        return int.from_bytes(self._word(index), "big")

    def small(self, index: int, below: int) -> int:
        """An unsigned integer that must be below a bound. Raises AbiError."""
        value = self.uint(index)
        if value >= below:
            raise AbiError(f"Word {index} is {value} and not below {below}.")
        return value

    def address(self, index: int) -> str:
        """The word as a lower-case address. Raises AbiError for more than 20 bytes."""
        return address_of_word(self._word(index))

    def hash(self, index: int) -> str:
        """The word as 0x and 64 hex digits. Raises AbiError."""
        return "0x" + self._word(index).hex()

    def at(self, index: int) -> "Words":
        """The dynamic part whose offset stands at an index. Raises AbiError when it begins outside."""
        return self._from(self.uint(index), of=self._base)

    def uints(self, index: int) -> tuple[int, ...]:
        """The array of unsigned integers whose offset stands at an index. Raises AbiError."""
        part = self.at(index)
        return tuple(part.uint(1 + each) for each in range(part._length()))

    def parts(self, index: int) -> "tuple[Words, ...]":
        """The array of dynamic elements whose offset stands at an index. Raises AbiError."""
        part = self.at(index)
        length = part._length()
        first = part._base + WORD
        return tuple(part._from(part.uint(1 + each), of=first) for each in range(length))

    def _length(self) -> int:
        length = self.uint(0)
        if length > ITEMS_MAX:
            raise AbiError(f"An array claims {length} elements.")
        return length

    def _from(self, offset: int, *, of: int) -> "Words":
        if of + offset > len(self._bytes):
            raise AbiError(f"A part begins at byte {of + offset} of {len(self._bytes)}.")
        return Words(self._bytes, of + offset)

    def _word(self, index: int) -> bytes:
        start = self._base + index * WORD
        word = self._bytes[start : start + WORD]
        if len(word) != WORD:
            raise AbiError(f"There are {len(self._bytes)} bytes and no word at {start}.")
        return word


def address_of_word(word: bytes) -> str:
    """The lower-case address in a word of 32 bytes. Raises AbiError when more than 20 of them are used."""
    if int.from_bytes(word, "big") >= _ADDRESS_END:
        raise AbiError("A word is no address: more than 20 bytes are used.")
    return "0x" + word[-20:].hex()


def word_of_address(address: str) -> str:
    """A lower-case address as a topic: 0x and 64 hex digits."""
    return "0x" + address[2:].rjust(64, "0")
