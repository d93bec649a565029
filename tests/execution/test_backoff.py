from hypothesis import given
from hypothesis import strategies as st

from execution.backoff import backoff_s
from ledger.system import SeededRandomness


@given(attempt=st.integers(0, 10_000), seed=st.integers(0, 100))
def test_a_wait_lies_between_half_the_base_and_the_cap(attempt: int, seed: int) -> None:
    assert 0.5 <= backoff_s(attempt, base_s=1, cap_s=30, randomness=SeededRandomness(seed)) <= 30


def test_waits_of_many_clients_are_spread() -> None:
    randomness = SeededRandomness(1)
    waits = [backoff_s(5, base_s=1, cap_s=30, randomness=randomness) for _client in range(200)]
    assert min(waits) < 5 < 25 < max(waits)


def test_a_cap_below_the_base_is_kept() -> None:
    assert backoff_s(0, base_s=10, cap_s=2, randomness=SeededRandomness(1)) <= 2
