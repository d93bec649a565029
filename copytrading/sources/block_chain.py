"""The chain of block hashes as far as it can still change: what a new header adds, what it orphans. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from execution.chain_events import Undecodable, quantity

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")

MARK_DIGITS = 16
"""Hex digits kept of a remembered hash: 64 bits tell two blocks of one height apart, and six fit into a cursor."""

MARK_OFFSETS = (0, 1, 2, 4, 8, 16, 32)
"""How far behind the newest block the remembered ones lie; deeper reorganisations were not seen since 2025."""

LATEST_S = 4_102_444_800
"""2100-01-01 in Unix seconds."""

_CURSOR = re.compile(r"(\d{1,18})((?: \d{1,3}:[0-9a-f]{16}){1,7})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A block's number, hash, parent's hash and time in Unix seconds."""

    number: int
    hash: str
    parent: str
    time_s: int


@dataclass(slots=True, kw_only=True)
class Block:
    """A block we hold. `taken`: its logs were read and given on; `seen`: (log index -> transaction) of those.

    `sure`: its logs were asked for a second time, or it was so old when they were that nothing was missing.
    """

    header: Header
    taken: bool = False
    taken_ms: float = 0.0
    sure: bool = False
    seen: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mark:
    """A block remembered by its number and the first digits of its hash."""

    number: int
    digits: str

    def is_of(self, header: Header) -> bool:
        """Whether the header is that block's."""
        return header.number == self.number and header.hash[2:].startswith(self.digits)


class Disjoint(Exception):
    """A branch does not begin on a block of the chain: it was not followed back far enough."""


class BlockChain:
    """The last `depth` blocks, each on its parent. Older ones are final and forgotten."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._by_number: dict[int, Block] = {}
        self._by_hash: dict[str, Block] = {}
        self._tip: Block | None = None

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[Block]:
        """From the oldest to the newest."""
        return iter(list(self._by_number.values()))

    @property
    def tip(self) -> Header | None:
        """The newest block; None before the beginning."""
        return self._tip.header if self._tip else None

    def get(self, block_hash: str) -> Block | None:
        """The block of a hash, while it is held."""
        return self._by_hash.get(block_hash)

    def begin(self, header: Header) -> None:
        """Forget everything and hold this block, as one whose logs are done with."""
        self._by_number.clear()
        self._by_hash.clear()
        self._hold(Block(header=header, taken=True, sure=True))

    def join(self, branch: Sequence[Header]) -> list[Block]:
        """Make the last header of the branch (oldest first) the tip; answers the orphaned blocks, newest first.

        A branch may begin with blocks that are held already. Raises Disjoint, having changed nothing, unless its first
        unknown block lies on a block of the chain and each next one on the one before.
        """
        news = [header for header in branch if header.hash not in self._by_hash]
        if not news:
            return []
        expected = news[0].parent
        for header in news:
            if header.parent != expected:
                raise Disjoint(f"block {header.number} does not lie on the one before it")
            expected = header.hash
        parent = self._by_hash.get(news[0].parent)
        if parent is None or parent.header.number + 1 != news[0].number:
            raise Disjoint(f"the parent of block {news[0].number} is not held")
        orphans = self.above(parent.header.number)
        for block in orphans:
            self._drop(block)
        for header in news:
            self._hold(Block(header=header))
        return orphans

    def above(self, number: int) -> list[Block]:
        """The blocks above a number, newest first."""
        newest = self._tip.header.number if self._tip else number
        return [self._by_number[each] for each in range(newest, number, -1) if each in self._by_number]

    def untaken(self) -> list[Block]:
        """Blocks whose logs are still to be read, oldest first."""
        return [block for block in self._by_number.values() if not block.taken]

    def last_done(self, waiting: Mapping[str, object]) -> Header | None:
        """The newest block up to which every one is taken for sure and none waits (by hash) for something."""
        done: Header | None = None
        for block in self._by_number.values():
            if not block.taken or not block.sure or block.header.hash in waiting:
                break
            done = block.header
        return done

    def marks(self, newest: int) -> tuple[Mark, ...]:
        """Blocks to remember, from this number down, newest first."""
        wanted = (self._by_number.get(newest - offset) for offset in MARK_OFFSETS)
        return tuple(mark_of(block.header) for block in wanted if block is not None)

    def _hold(self, block: Block) -> None:
        self._by_number[block.header.number] = block
        self._by_hash[block.header.hash] = block
        self._tip = block
        while len(self._by_number) > self._depth:
            oldest = self._by_number[next(iter(self._by_number))]
            if not oldest.taken:
                break  # never forgotten unread; the walk that reads it is under way
            self._drop(oldest)

    def _drop(self, block: Block) -> None:
        del self._by_number[block.header.number]
        del self._by_hash[block.header.hash]


def mark_of(header: Header) -> Mark:
    """What to remember of a block."""
    return Mark(header.number, header.hash[2 : 2 + MARK_DIGITS])


def cursor_text(marks: Sequence[Mark]) -> str:
    """Marks, newest first, as one short text: the number, and for each its distance and digits. Under 200 letters."""
    newest = marks[0].number
    return " ".join([str(newest), *(f"{newest - mark.number}:{mark.digits}" for mark in marks)])


def read_cursor(text: str) -> tuple[Mark, ...]:
    """The marks in a cursor's text, newest first; none in a text that is no cursor."""
    found = _CURSOR.fullmatch(text)
    if found is None:
        return ()
    newest = int(found[1])
    pairs = [part.split(":") for part in found[2].split()]
    return tuple(Mark(newest - int(offset), digits) for offset, digits in pairs)


def read_header(value: object) -> Header:
    """A header from a node's JSON, of a block or a newHeads frame. Raises Undecodable."""
    if not isinstance(value, Mapping):
        raise Undecodable("A header is no object.")
    time_s = quantity(value.get("timestamp"))
    if time_s >= LATEST_S:
        raise Undecodable(f"The time {time_s} of a block is no time in seconds.")
    number, block_hash, parent = quantity(value.get("number")), _hash(value.get("hash")), _hash(value.get("parentHash"))
    return Header(number=number, hash=block_hash, parent=parent, time_s=time_s)


def _hash(value: object) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise Undecodable(f"{str(value)[:80]!r} is no block hash.")
    return value.lower()
