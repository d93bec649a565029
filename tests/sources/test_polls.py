"""Whose turn it is: evenly, the busy more often than the quiet, nobody never."""

import pytest

from copytrading.sources.polls import Agenda, PollPace

PACE = PollPace(active_s=5, quiet_max_s=60)


def agenda(*wallets: str) -> Agenda:
    found = Agenda(PACE)
    found.follow(wallets, 0.0)
    return found


def turns(
    found: Agenda, *, until_s: float, heard: frozenset[str] = frozenset(), step_s: float = 0.1
) -> dict[str, list[float]]:
    """When each leader has a turn; those of `heard` are heard at each."""
    taken: dict[str, list[float]] = {}
    for step in range(int(until_s / step_s)):
        now_s = step * step_s
        while (wallet := found.take(now_s)) is not None:
            taken.setdefault(wallet, []).append(now_s)
            if wallet in heard:
                found.heard(wallet, now_s)
            found.done(wallet, now_s, jitter=0.5)
    return taken


@pytest.mark.parametrize(("quiet_s", "interval_s"), [(0, 5), (150, 5), (600, 20), (1_800, 60), (90_000, 60)])
def test_the_quiet_are_looked_at_less(quiet_s: float, interval_s: float) -> None:
    assert PACE.interval_s(quiet_s) == interval_s


def test_a_pace_must_make_sense() -> None:
    with pytest.raises(ValueError, match="pace"):
        PollPace(active_s=5, quiet_max_s=4)


def test_many_new_leaders_are_spread_over_an_interval() -> None:
    found = agenda(*(f"leader {number}" for number in range(100)))
    firsts = sorted(times[0] for times in turns(found, until_s=5.5).values())
    assert len(firsts) == 100
    assert max(firsts.count(each) for each in firsts) <= 3


def test_the_busy_have_many_turns_and_the_quiet_not_none() -> None:
    found = agenda("busy", "quiet")
    taken = turns(found, until_s=3_600, heard=frozenset({"busy"}), step_s=0.5)
    assert len(taken["busy"]) > 600
    assert 60 <= len(taken["quiet"]) < 250


def test_whoever_waits_longest_comes_first() -> None:
    found = agenda("first", "second", "third")
    assert [found.take(100.0) for _ in range(4)] == ["first", "second", "third", None]


def test_a_leader_in_hand_is_given_to_nobody_else() -> None:
    found = agenda("lena")
    assert found.take(0.0) == "lena"
    found.heard("lena", 1.0)
    assert found.take(1_000.0) is None


def test_a_quiet_leader_who_was_heard_is_due_at_once_but_not_all_the_time() -> None:
    found = agenda("lena")
    found.take(0.0)
    found.done("lena", 3_000.0, jitter=0.5)
    found.heard("lena", 3_001.0)
    assert (found.take(3_004.0), found.take(3_005.0)) == (None, "lena")


def test_a_faster_pace_begins_without_a_burst() -> None:
    found = agenda(*(f"leader {number}" for number in range(60)))
    turns(found, until_s=2_400, step_s=1)
    found.change_pace(PollPace(active_s=1, quiet_max_s=10), 2_400.0)
    assert sum(found.take(2_400.0) is not None for _ in range(60)) <= 10
    assert sum(found.take(2_411.0) is not None for _ in range(60)) >= 50


def test_who_is_no_longer_followed_has_no_turn() -> None:
    found = agenda("lena", "luca")
    found.follow(["luca"], 1.0)
    assert (len(found), found.take(100.0), found.take(100.0)) == (1, "luca", None)


def test_it_says_how_long_nobody_is_due() -> None:
    found = agenda("lena")
    assert (found.wait_s(0.0, longest_s=9.0), Agenda(PACE).wait_s(0.0, longest_s=9.0)) == (0.0, 9.0)


def test_places_that_nobody_stands_on_do_not_pile_up() -> None:
    found = agenda("lena")
    for number in range(10_000):
        found.take(float(number * 100))
        found.done("lena", float(number * 100), jitter=0.5)
        found.heard("lena", float(number * 100 + 1))
    assert len(found._order) < 50
