"""Fixtures that every test may use, and the order of the files."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from lab.core import Lab
from lab.exabgp import STOCK

settings.register_profile("rsfilter", deadline=None)  # a busy machine is no failure
settings.load_profile("rsfilter")

LONGEST = (
    "test_examples",
    "test_page",
    "test_restart_hosts",
    "test_end_exabgp",
    "test_scenario_d",
    "test_fleet_status",
    "test_growth",
    "test_fleet_ship",
    "test_floods",
    "test_speaker",
    "test_fleet_network",
    "test_policy",
    "test_exabgp_reload",
    "test_decode_hostile",
    "test_restart",
    "test_egress",
    "test_scenario_fleet",
    "test_engine_model",
    "test_speaker_differential",
    "test_fleet_run",
    "test_scenario_g",
    "test_caches",
    "test_rtr_faults",
    "test_torture",
    "test_scenario_a",
    "test_scenario_e",
    "test_render",
    "test_hostile_values",
    "test_churn",
    "test_revalidation",
    "test_scale",
    "test_anycast",
    "test_families",
    "test_retention",
    "test_scenario_f",
    "test_web_large",
    "test_scenario_c",
    "test_play",
    "test_restart_model",
    "test_fanout",
    "test_run",
)
"""Files that take the longest begin first: for one that began last, all would wait. Those that
mostly wait for daemons take turns with those that compute."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--stock`: the labs' route servers run ExaBGP as it is."""
    parser.addoption("--stock", action="store_true", help="labs run ExaBGP with nothing replaced")


def pytest_configure(config: pytest.Config) -> None:
    """Hands `--stock` to the labs, which are no fixtures everywhere."""
    if config.getoption("--stock"):
        os.environ[STOCK] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the files by `LONGEST`; the others keep their order after it."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A private network for one test."""
    with Lab() as network:
        yield network
