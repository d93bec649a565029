"""The chain of block hashes: what joins, what is orphaned, what is remembered."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.sources.block_chain import (
    BlockChain,
    Disjoint,
    Header,
    Mark,
    cursor_text,
    mark_of,
    read_cursor,
    read_header,
)
from execution.chain_events import Undecodable


def header(number: int, fork: int = 0, *, on: int | None = None) -> Header:
    parent = fork if on is None else on
    return Header(
        number=number, hash=name(number, fork), parent=name(number - 1, parent), time_s=1_700_000_000 + number
    )


def name(number: int, fork: int) -> str:
    return f"0x{fork:032x}{number:032x}"


def chain_to(newest: int, *, depth: int = 100) -> BlockChain:
    chain = BlockChain(depth)
    chain.begin(header(1))
    chain.join([header(number) for number in range(2, newest + 1)])
    for block in chain:
        block.taken = block.sure = True
    return chain


def hashes(chain: BlockChain) -> list[str]:
    return [block.header.hash for block in chain]


def test_a_block_on_the_tip_is_the_new_tip_and_orphans_nothing() -> None:
    chain = chain_to(3)
    assert chain.join([header(4)]) == []
    assert chain.tip == header(4)
    assert [block.header for block in chain.untaken()] == [header(4)]


def test_a_branch_orphans_what_stood_above_its_beginning_newest_first() -> None:
    chain = chain_to(5)
    orphans = chain.join([header(4, 7, on=0), header(5, 7), header(6, 7)])
    assert [block.header for block in orphans] == [header(5), header(4)]
    assert hashes(chain) == [name(1, 0), name(2, 0), name(3, 0), name(4, 7), name(5, 7), name(6, 7)]


def test_a_shorter_branch_is_followed_too() -> None:
    chain = chain_to(5)
    chain.join([header(4, 7, on=0)])
    assert (chain.tip, chain.get(name(5, 0))) == (header(4, 7, on=0), None)


@pytest.mark.parametrize(
    "branch",
    [
        [header(9)],
        [header(4), header(6)],
        [header(4), header(5, 7)],
        [Header(number=9, hash=name(9, 1), parent=name(3, 0), time_s=1)],
    ],
)
def test_a_branch_that_hangs_in_the_air_changes_nothing(branch: list[Header]) -> None:
    chain = chain_to(3)
    before = hashes(chain)
    with pytest.raises(Disjoint):
        chain.join(branch)
    assert hashes(chain) == before


def test_what_is_known_already_joins_again_without_effect() -> None:
    chain = chain_to(3)
    assert chain.join([header(2), header(3)]) == []
    assert chain.untaken() == []


def test_the_chain_is_bounded_and_forgets_the_oldest() -> None:
    chain = chain_to(3, depth=10)
    for number in range(4, 40):
        chain.join([header(number)])
        chain.untaken()[0].taken = True
    assert len(chain) == 10
    assert hashes(chain)[0] == name(30, 0)


def test_a_block_that_was_not_read_is_never_forgotten() -> None:
    chain = chain_to(3, depth=3)
    for number in range(4, 20):
        chain.join([header(number)])
    assert [block.header.number for block in chain.untaken()] == list(range(4, 20))


def test_everything_is_done_up_to_the_first_block_that_waits_or_was_not_read() -> None:
    chain = chain_to(5)
    chain.join([header(6)])
    assert chain.last_done({}) == header(5)
    assert chain.last_done({name(3, 0): None}) == header(2)
    assert chain.last_done({name(1, 0): None}) is None
    next(iter(chain.above(4))).taken = True
    assert chain.last_done({}) == header(5), "the sixth was asked for once only"


FORKS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 8)), max_size=20)


@given(forks=FORKS)
def test_after_any_reorganisations_each_block_lies_on_the_one_before(forks: list[tuple[int, int]]) -> None:
    chain = chain_to(10)
    for number, (depth, length) in enumerate(forks, start=1):
        tip = chain.tip
        assert tip is not None
        root = next(b.header for b in chain if b.header.number == max(1, tip.number - depth))
        branch, parent = [], root
        for _ in range(length):
            parent = Header(
                number=parent.number + 1, hash=name(parent.number + 1, number), parent=parent.hash, time_s=1
            )
            branch.append(parent)
        orphans = chain.join(branch)
        assert len(orphans) == tip.number - root.number
        blocks = [block.header for block in chain]
        assert all(b.parent == a.hash and b.number == a.number + 1 for a, b in itertools.pairwise(blocks))
        assert chain.tip == blocks[-1] == branch[-1]


def test_a_cursor_holds_the_newest_block_and_a_few_before_it_in_under_200_letters() -> None:
    chain = chain_to(60)
    marks = chain.marks(60)
    assert [mark.number for mark in marks] == [60, 59, 58, 56, 52, 44, 28]
    text = cursor_text([Mark(mark.number + 10**17, mark.digits) for mark in marks])
    assert len(text) < 200
    assert read_cursor(cursor_text(marks)) == marks


@pytest.mark.parametrize(
    "text",
    ["", "7", "moved", "7 0:12", "7 0:" + "g" * 16, "-7 0:" + "a" * 16, "7 0:" + "a" * 17, "7  0:" + "a" * 16],
)
def test_any_other_text_is_no_cursor(text: str) -> None:
    assert read_cursor(text) == ()


def test_a_mark_knows_its_block_from_another_of_the_same_height() -> None:
    mark = mark_of(header(9))
    assert mark.is_of(header(9))
    assert not mark.is_of(Header(number=9, hash="0x" + "9" * 64, parent=name(8, 0), time_s=1))


@pytest.mark.parametrize("field", ["number", "hash", "parentHash", "timestamp"])
@pytest.mark.parametrize("value", [None, "", "0x", 7, "0x" + "f" * 16])
def test_a_header_without_one_of_its_fields_is_refused(field: str, value: object) -> None:
    raw = {"number": "0x1", "hash": name(1, 0), "parentHash": name(0, 0), "timestamp": "0x6aa46b38"}
    assert read_header(raw).time_s == 0x6AA46B38
    if field == "number" and value == "0x" + "f" * 16:
        return  # a number that large is only absurd
    with pytest.raises(Undecodable):
        read_header({**raw, field: value})
