"""The choice of the cache, in virtual time: refresh 60 s, grace 20 s, expire 300 s."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsfilter.rtr.failover import CacheChoice, Failover, grace_of

REFRESH, GRACE, EXPIRE = 60, 20, 300

# A script is a list of steps (time, what happened, who decides, is it fresh). What happened:
# "A+" cache A confirmed its data, "A-" an error at A, "" nothing; A is the preferred cache.
Step = tuple[float, str, str | None, bool]

SCRIPTS: dict[str, list[Step]] = {
    "nobody has ever answered": [(0, "", None, False), (1000, "A- B-", None, False)],
    "the preferred cache decides": [(0, "A+ B+", "A", True), (60, "A+ B+", "A", True)],
    "the first that answers decides at once": [(0, "B+", "B", True)],
    "the preferred one takes over when it has been live for the grace": [
        (0, "B+", "B", True),
        (1, "A+", "B", True),
        (20.9, "", "B", True),
        (21, "", "A", True),
    ],
    "a restart within the grace is no event": [
        (0, "A+ B+", "A", True),
        (10, "A-", "A", True),
        (29.9, "A+", "A", True),
        (60, "A+ B+", "A", True),
        (110, "", "A", True),
    ],
    "a dead cache hands over after the grace, and the other stays": [
        (0, "A+ B+", "A", True),
        (10, "A-", "A", True),
        (29.9, "", "A", True),
        (30, "", "B", True),
        (60, "B+", "B", True),
        (1000, "B+", "B", True),
    ],
    "a cache that is silent hands over when its answer is late by the grace": [
        (0, "A+ B+", "A", True),
        (50, "B+", "A", True),
        (79.9, "", "A", True),
        (80, "", "B", True),
    ],
    "back and forth: back only when live for the grace": [
        (0, "A+ B+", "A", True),
        (10, "A-", "A", True),
        (30, "", "B", True),
        (40, "A+", "B", True),
        (45, "A-", "B", True),
        (70, "B+", "B", True),
        (75, "A+", "B", True),
        (94.9, "", "B", True),
        (95, "", "A", True),
    ],
    "a preferred one that comes and goes never decides": [
        (0, "A+ B+", "A", True),
        (1, "A-", "A", True),
        (21, "", "B", True),
        (50, "A+", "B", True),
        (51, "A-", "B", True),
        (60, "B+", "B", True),
        (71, "", "B", True),
        (100, "A+ B+", "B", True),
        (101, "A-", "B", True),
        (119.9, "B+", "B", True),
        (120, "", "B", True),
        (120.9, "", "B", True),
    ],
    "both die: the data of the one that decides stay until they expire": [
        (0, "A+ B+", "A", True),
        (1, "A- B-", "A", True),
        (21, "", "A", True),
        (299.9, "", "A", True),
        (300, "", "A", False),
        (9999, "", "A", False),
    ],
    "both die, the other has fresher data when those in force expire": [
        (0, "A+", "A", True),
        (15, "B+", "A", True),
        (16, "A- B-", "A", True),
        (299, "", "A", True),
        (300, "", "B", True),
        (315, "", "B", False),
    ],
    "after everything expired the first that answers decides": [
        (0, "A+ B+", "A", True),
        (1, "A- B-", "A", True),
        (400, "", "A", False),
        (500, "B+", "B", True),
        (501, "A+", "B", True),
        (521, "", "A", True),
    ],
    "an expired cache that answers again is fresh": [
        (0, "A+", "A", True),
        (300, "", "A", False),
        (301, "A+", "A", True),
    ],
    "the least preferred of three is used when it must be": [
        (0, "A+ B+ C+", "A", True),
        (1, "A- B-", "A", True),
        (21, "", "C", True),
        (22, "B+", "C", True),
        (42, "", "B", True),
    ],
}


class Caches:
    """A `Failover`, and what connections would report to it."""

    def __init__(self) -> None:
        self.failover = Failover(3, refresh=REFRESH, grace=GRACE, expire=EXPIRE)
        self.confirmed: dict[str, float] = {}
        self.lost: dict[str, float | None] = {}

    def play(self, step: Step) -> Step:
        """The step, with what really came of it."""
        now, happened, _, _ = step
        for name, sign in happened.split():
            if sign == "+":
                self.confirmed[name], self.lost[name] = now, None
            elif self.lost.get(name) is None:
                self.lost[name] = now
            self.failover.report("ABC".index(name), self.confirmed.get(name), self.lost[name])
        decision = self.failover.decide(now)
        who = None if decision.cache is None else "ABC"[decision.cache]
        return (now, happened, who, decision.is_fresh)


@pytest.mark.parametrize("name", SCRIPTS)
def test_choices_follow_the_scripts(name: str) -> None:
    caches = Caches()
    assert [caches.play(step) for step in SCRIPTS[name]] == SCRIPTS[name]


def test_expire_may_be_shorter_than_refresh_and_grace() -> None:
    failover = Failover(1, refresh=60, grace=20, expire=5)
    failover.report(0, 100.0, None)
    assert failover.decide(104.9) == CacheChoice(0, True, 105.0)
    assert failover.decide(105.0) == CacheChoice(0, False, 120.0)


def test_the_deadline_is_the_next_time_at_which_something_may_change() -> None:
    failover = Failover(2, refresh=REFRESH, grace=GRACE, expire=EXPIRE)
    assert failover.decide(0).deadline is None
    failover.report(0, 0.0, None)
    failover.report(1, 0.0, None)
    assert failover.decide(0).deadline == 20  # both have been live for the grace
    assert failover.decide(20).deadline == 80  # both are late
    failover.report(0, 0.0, 30.0)
    assert failover.decide(30).deadline == 50  # the first is dead
    assert failover.decide(100).deadline == 300  # both have expired
    assert failover.decide(300).deadline is None


@pytest.mark.parametrize(("retry", "grace"), [(1, 5), (2, 5), (3, 6), (10, 20), (600, 1200)])
def test_the_grace_follows_from_retry(retry: float, grace: float) -> None:
    assert grace_of(retry) == grace


HAPPENINGS = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["", "A+", "A-", "B+", "B-", "C+", "C-"])),
    max_size=60,
)


def timed(happenings: list[tuple[int, str]]) -> list[Step]:
    now, steps = 0.0, []
    for gap, what in happenings:
        now += gap
        steps.append((now, what, None, False))
    return steps


@given(HAPPENINGS)
def test_fresh_data_are_always_preferred_to_expired_ones(
    happenings: list[tuple[int, str]],
) -> None:
    caches = Caches()
    for step in timed(happenings):
        now, _, who, is_fresh = caches.play(step)
        times = caches.confirmed
        assert is_fresh == any(now < then + EXPIRE for then in times.values())
        assert (who is None) == (not times)
        if is_fresh and who is not None:
            assert now < times[who] + EXPIRE


@given(HAPPENINGS)
def test_deciding_at_deadlines_only_misses_nothing(happenings: list[tuple[int, str]]) -> None:
    """A check every second finds nothing that checks at reports and deadlines do not."""
    eager, lazy = Caches(), Caches()
    known: tuple[str | None, bool] = (None, False)
    deadline: float | None = None
    for step in every_second(timed(happenings)):
        now, happened, _, _ = step
        if happened or (deadline is not None and now >= deadline):
            known = lazy.play(step)[2:]
            deadline = lazy.failover.decide(now).deadline
        assert eager.play(step)[2:] == known


def every_second(steps: list[Step]) -> list[Step]:
    dense: list[Step] = []
    for step in steps:
        start = dense[-1][0] + 1 if dense else step[0]
        dense += [(float(t), "", None, False) for t in range(int(start), int(step[0]))]
        dense.append(step)
    return dense


@pytest.mark.parametrize(
    ("ours", "sent", "expire"),
    [(3600, 0, 3600), (3600, 7200, 3600), (3600, 900, 900), (3600, 1, 600), (300, 900, 300)],
)
def test_data_expire_by_the_shorter_of_two_times(ours: int, sent: int, expire: int) -> None:
    failover = Failover(1, refresh=REFRESH, grace=GRACE, expire=ours)
    failover.report(0, 0.0, None, sent)
    assert failover.expire_of(0) == expire
    assert failover.decide(expire - 0.1) == CacheChoice(0, True, float(expire))
    assert failover.decide(expire) == CacheChoice(0, False, None)


def test_no_cache_can_set_an_expire_before_the_next_refresh() -> None:
    failover = Failover(1, refresh=3000, grace=GRACE, expire=7200)
    failover.report(0, 0.0, None, 600)
    assert failover.expire_of(0) == 3000 + GRACE


def test_each_cache_has_its_own_time() -> None:
    failover = Failover(2, refresh=REFRESH, grace=GRACE, expire=3600)
    failover.report(0, 0.0, 1.0, 600)
    failover.report(1, 0.0, 1.0, 1200)
    assert failover.decide(599)[:2] == (0, True)
    assert failover.decide(600)[:2] == (1, True)
    assert failover.decide(1200)[:2] == (1, False)
