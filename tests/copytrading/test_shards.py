"""Each leader belongs to one shard, the same on every machine and for all time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.shards import shard_of

wallets = st.integers(0, 2**160 - 1).map(lambda number: f"0x{number:040x}")


@given(wallets, st.integers(1, 256))
def test_a_leader_is_in_exactly_one_of_the_shards(wallet: str, of: int) -> None:
    assert 0 <= shard_of(wallet, of) < of


@given(wallets)
def test_one_shard_owns_everybody(wallet: str) -> None:
    assert shard_of(wallet, 1) == 0


@pytest.mark.parametrize(
    ("wallet", "of", "shard"),
    [("0x" + "1e" * 20, 2, 1), ("0x" + "1e" * 20, 16, 9), ("0x" + "1c" * 20, 256, 0xC7), ("0x" + "00" * 20, 256, 0xD0)],
)
def test_the_owner_never_changes_with_a_release(wallet: str, of: int, shard: int) -> None:
    # By `b2sum -l 64`, whose last hexadecimal digits are the remainder.
    assert shard_of(wallet, of) == shard


@pytest.mark.parametrize("of", [2, 3, 16])
def test_leaders_are_spread_evenly(of: int) -> None:
    owned = [shard_of(f"0x{number:040x}", of) for number in range(of * 1_000)]
    counts = [owned.count(shard) for shard in range(of)]
    assert min(counts) > 850
    assert max(counts) < 1_150
