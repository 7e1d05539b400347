"""Order of arrival: read in steps, while entries come and go."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from rsfilter.routing.indexes import CHUNK_SIZE as SIZE
from rsfilter.routing.indexes import ByArrival


@dataclass(eq=False)
class Thing:
    number: int = -1


def filled(count: int) -> tuple[ByArrival[Thing], list[Thing]]:
    arrivals: ByArrival[Thing] = ByArrival()
    things = [Thing() for _ in range(count)]
    arrivals.add(things[: count // 3])
    arrivals.add(things[count // 3 :])
    return arrivals, things


def everything(arrivals: ByArrival[Thing], start: int = 0, size: int = SIZE) -> list[Thing]:
    return [thing for part in arrivals.read(start, size) for thing in part]


def test_all_come_in_order_of_arrival() -> None:
    arrivals, things = filled(3 * SIZE + 5)
    assert everything(arrivals) == things
    assert [thing.number for thing in things] == list(range(3 * SIZE + 5))


def test_lists_have_the_requested_length() -> None:
    arrivals, _ = filled(10 * SIZE)
    assert [len(part) for part in arrivals.read(0, 3 * SIZE)] == [3 * SIZE] * 3 + [SIZE]


def test_reading_continues_behind_any_number() -> None:
    arrivals, things = filled(2 * SIZE)
    arrivals.remove(things[SIZE])
    assert everything(arrivals, SIZE) == things[SIZE + 1 :]
    assert everything(arrivals, SIZE - 1) == [things[SIZE - 1], *things[SIZE + 1 :]]
    assert everything(arrivals, 10 * SIZE) == []


def test_removed_entries_take_no_room() -> None:
    arrivals, things = filled(100 * SIZE)
    for thing in things[SIZE:]:
        arrivals.remove(thing)
    assert len(list(arrivals.read(0, SIZE))) == 1


def test_an_unfinished_chunk_that_becomes_empty_is_filled_on() -> None:
    arrivals, things = filled(2)
    for thing in things:
        arrivals.remove(thing)
    late = Thing()
    arrivals.add([late])
    assert (late.number, everything(arrivals)) == (2, [late])


CHANGES = st.lists(st.tuples(st.booleans(), st.integers(0, 10_000)), max_size=200)


@given(st.integers(0, 200), st.lists(CHANGES, max_size=10), st.integers(1, 5))
def test_an_entry_that_stays_is_read_once_whatever_else_happens(
    count: int, between: list[list[tuple[bool, int]]], step: int
) -> None:
    arrivals, things = filled(count)
    staying, here = set(things), list(things)
    read: list[Thing] = []
    changes = iter(between)
    for part in arrivals.read(0, step * SIZE):
        assert set(part) <= set(here)
        read += part
        for is_new, which in next(changes, ()):
            if is_new:
                here.append(Thing())
                arrivals.add(here[-1:])
            elif here:
                gone = here.pop(which % len(here))
                staying.discard(gone)
                arrivals.remove(gone)
    assert staying <= set(read)
    assert len(read) == len(set(read))
    assert everything(arrivals) == here
