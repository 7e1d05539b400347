"""The plan of a site: by hand with simple figures, and against what was measured."""

from __future__ import annotations

import pytest
from bench.plan import MEASURED, MOST_SESSIONS, Figures, Shard, cost, split, start, turn
from hypothesis import given
from hypothesis import strategies as st

NOTHING = Figures(*[0.0] * len(MEASURED))._replace(prefixes_a_turn=50)


@pytest.mark.parametrize(
    ("figures", "shard", "seconds"),
    [
        # Turns with 0, 1 and 2 sessions; the third is the last to be accepted.
        ({"session_turn_s": 1}, Shard(3, 0, 1), 0 + 1 + 2),
        # The only one has 100 guests: two turns more, of 50 each.
        ({"session_turn_s": 1}, Shard(1, 100, 1), 0 + 1 + 1),
        ({"session_turn_more_s": 1}, Shard(3, 0, 1), 0 + 1 + 4),
        # Each of ten connections: five looks until it is found, ten for its command.
        ({"lookup_s": 1}, Shard(10, 0, 1), 10 * (5 + 10)),
        ({"inject_s": 1}, Shard(10, 3, 1), 30 * 10),
        ({"route_s": 1}, Shard(2, 60, 1), 120),
        ({"route_s": 1}, Shard(2, 60, 3), 360),
    ],
)
def test_a_start(figures: dict[str, float], shard: Shard, seconds: float) -> None:
    assert start(shard, NOTHING._replace(**figures)) == seconds


def test_a_shard() -> None:
    figures = NOTHING._replace(
        sleep_s=6,
        session_turn_s=1,
        filter_route_s=1,
        filter_session_s=10,
        inject_s=1,
        lookup_s=2,
        route_s=3,
        process_bytes=1000,
        session_bytes=100,
        filter_session_bytes=50,
        route_bytes=4,
        filter_route_bytes=1,
    )
    of = cost(Shard(hosts=2, guests=5, routers=3, moves=7), figures)
    assert of.filter_start_s == 10 * 1 + 2 * 10
    assert of.idle == 2 / (2 + 6)
    assert of.busy == 7 * (2 * 2 + 2 * 1 + 3 * 3)
    assert of.memory == 1000 + 2 * (100 + 50) + 10 * (4 * 3 + 1)


def test_nothing_is_said_of_what_the_figures_do_not_hold_for() -> None:
    cost(Shard(MOST_SESSIONS, 25, 1))
    with pytest.raises(ValueError, match="1001 sessions: the figures hold for 1000 at most"):
        cost(Shard(MOST_SESSIONS + 1, 25, 1))


@pytest.mark.parametrize(
    ("shards", "hosts", "moves"), [(16, 500, 5.0), (7, 1143, 11.43), (1, 8000, 80)]
)
def test_a_site_in_shards(shards: int, hosts: int, moves: float) -> None:
    site = Shard(hosts=8000, guests=25, routers=1, moves=80)
    assert split(site, shards) == Shard(hosts, 25, 1, moves)


@pytest.mark.parametrize(
    ("hosts", "guests", "cpu_s", "idle", "megabytes"),
    [  # `make benchhosts`, docs/scale.md
        (20, 5000, 13.2, 0.08, 555),
        (100, 25, 0.4, 0.25, 100),
        (500, 25, 3.4, 0.65, 165),
        (1000, 25, 14.4, 0.80, 241),
    ],
)
def test_what_was_measured(
    hosts: int, guests: int, cpu_s: float, idle: float, megabytes: float
) -> None:
    """Turns in which ExaBGP waits for hosts that try again are not played, so a start may have
    cost more than that, and not less."""
    of = cost(Shard(hosts, guests, 1))
    assert 0.95 * of.start_s < cpu_s < 1.7 * of.start_s
    assert of.idle == pytest.approx(idle, abs=0.03)
    assert of.memory / 1e6 == pytest.approx(megabytes, rel=0.05)


@given(st.integers(2, 200), st.integers(0, 30), st.integers(1, 4))
def test_two_shards_start_sooner_than_one(hosts: int, guests: int, routers: int) -> None:
    one = Shard(hosts, guests, routers)
    assert start(split(one, 2)) < start(one)


@given(st.integers(0, MOST_SESSIONS - 1))
def test_another_session_is_another_look(sessions: int) -> None:
    assert turn(sessions) < turn(sessions + 1)
