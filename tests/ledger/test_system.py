"""The real doors, as far as they promise more than the operating system does."""

import gc
import sys

import pytest

from ledger.system import (
    COLLECT_AFTER,
    SALT_BITS,
    SALTS_DRAWN,
    THREAD_TURN_S,
    SystemCpuClock,
    SystemIds,
    tuned_interpreter,
)


def test_salts_fit_a_json_number_and_do_not_repeat_from_one_draw_to_the_next() -> None:
    ids = SystemIds()
    salts = [ids.salt() for _number in range(3 * SALTS_DRAWN)]
    assert len(set(salts)) == len(salts)
    assert min(salts) >= 0
    assert 2 ** (SALT_BITS - 4) < max(salts) < 2**SALT_BITS


def test_two_sources_of_ids_do_not_share_their_salts() -> None:
    first, second = SystemIds(), SystemIds()
    mine = {first.salt() for _number in range(100)}
    assert not mine & {second.salt() for _number in range(100)}


def test_the_interpreter_is_tuned_for_an_engine_and_as_it_was_behind_it() -> None:
    before = gc.get_threshold(), sys.getswitchinterval(), gc.get_freeze_count()
    with pytest.raises(ValueError, match="an engine ended"), tuned_interpreter():
        assert gc.get_threshold()[0] == COLLECT_AFTER
        assert gc.get_freeze_count() > before[2]
        assert sys.getswitchinterval() == pytest.approx(THREAD_TURN_S)
        raise ValueError("an engine ended")
    assert (gc.get_threshold(), sys.getswitchinterval(), gc.get_freeze_count()) == before


def test_cpu_time_rises_with_work() -> None:
    cpu = SystemCpuClock()
    thread_ns, process_ns = cpu.thread_ns(), cpu.process_ns()
    assert sum(range(500_000)) > 0
    assert cpu.thread_ns() > thread_ns
    assert cpu.process_ns() > process_ns
