from execution.recent import Recent


def recent(*, bound: int = 10, kept_ms: float = 1_000) -> Recent[str, int]:
    return Recent(bound=bound, kept_ms=kept_ms)


def test_what_is_too_old_goes_when_something_new_comes() -> None:
    memory = recent()
    memory.put("first", 1, now_ms=0)
    memory.put("second", 2, now_ms=1_000)
    assert memory.get("first") == 1
    memory.put("third", 3, now_ms=1_001)
    assert (memory.get("first"), memory.get("second"), len(memory)) == (None, 2, 2)


def test_what_is_put_again_is_new() -> None:
    memory = recent()
    memory.put("first", 1, now_ms=0)
    memory.put("second", 2, now_ms=500)
    memory.put("first", 3, now_ms=900)
    memory.put("third", 4, now_ms=1_800)
    assert (memory.get("first"), memory.get("second")) == (3, None)


def test_the_oldest_beyond_the_bound_goes() -> None:
    memory = recent(bound=2)
    for now_ms, key in enumerate("abc"):
        memory.put(key, now_ms, now_ms=now_ms)
    assert [memory.get(key) for key in "abc"] == [None, 1, 2]


def test_a_falsy_value_is_a_value() -> None:
    memory = recent()
    memory.put("none left", 0, now_ms=0)
    assert memory.get("none left") == 0
