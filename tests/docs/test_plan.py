"""The plan of a site: by hand with simple figures, and against what was measured."""

from __future__ import annotations

import pytest
from bench.plan import MEASURED, MOST_SESSIONS, Figures, Shard, cost, split, start
from hypothesis import given
from hypothesis import strategies as st

NOTHING = Figures(*[0.0] * len(MEASURED))


@pytest.mark.parametrize(
    ("figures", "shard", "seconds"),
    [
        ({"session_s": 1}, Shard(3, 5, 2), 3),
        ({"route_s": 1}, Shard(2, 60, 1), 120),
        ({"route_s": 1}, Shard(2, 60, 3), 120),
        ({"more_router_s": 1}, Shard(2, 60, 1), 0),
        ({"more_router_s": 1}, Shard(2, 60, 3), 240),
    ],
)
def test_a_start(figures: dict[str, float], shard: Shard, seconds: float) -> None:
    assert start(shard, NOTHING._replace(**figures)) == seconds


def test_a_shard_costs_the_sum_of_its_parts() -> None:
    figures = NOTHING._replace(
        idle_session_s=3,
        change_s=5,
        more_router_s=2,
        filter_route_s=1,
        filter_session_s=10,
        process_bytes=1000,
        session_bytes=100,
        filter_session_bytes=50,
        route_bytes=4,
        filter_route_bytes=1,
    )
    of = cost(Shard(hosts=2, guests=5, routers=3, moves=7), figures)
    assert of.filter_start_s == 10 * 1 + 2 * 10
    assert of.idle == 2 * 3
    assert of.busy == 7 * (5 + 2 * 2)
    assert of.memory == 1000 + 2 * (100 + 50) + 10 * (4 + 1)


def test_the_plan_is_silent_where_its_figures_do_not_hold() -> None:
    cost(Shard(MOST_SESSIONS, 25, 1))
    with pytest.raises(ValueError, match="8001 sessions: the figures hold for 8000 at most"):
        cost(Shard(MOST_SESSIONS + 1, 25, 1))


@pytest.mark.parametrize(
    ("shards", "hosts", "moves"), [(16, 500, 5.0), (7, 1143, 11.43), (1, 8000, 80)]
)
def test_a_site_is_divided_evenly_among_shards(shards: int, hosts: int, moves: float) -> None:
    site = Shard(hosts=8000, guests=25, routers=1, moves=80)
    assert split(site, shards) == Shard(hosts, 25, 1, moves)


@pytest.mark.parametrize(
    ("hosts", "guests", "cpu_s", "filter_s", "idle", "megabytes"),
    [  # `make benchhosts`, docs/scale.md
        (20, 2500, 1.7, 1.7, 0.00, 199),
        (1000, 25, 2.8, 2.1, 0.005, 182),
        (2000, 25, 4.7, 3.4, 0.00, 259),
        (8000, 25, 22.1, 14.8, 0.037, 738),
    ],
)
def test_the_plan_agrees_with_what_was_measured(
    hosts: int, guests: int, cpu_s: float, filter_s: float, idle: float, megabytes: float
) -> None:
    of = cost(Shard(hosts, guests, 1))
    assert of.start_s == pytest.approx(cpu_s, rel=0.2)
    assert of.filter_start_s == pytest.approx(filter_s, rel=0.2)
    assert of.idle == pytest.approx(idle, abs=0.01)
    assert of.memory / 1e6 == pytest.approx(megabytes, rel=0.05)


@given(st.integers(2, 200), st.integers(0, 30), st.integers(1, 4))
def test_two_shards_start_sooner_than_one(hosts: int, guests: int, routers: int) -> None:
    one = Shard(hosts, guests, routers)
    assert start(split(one, 2)) < start(one)
