"""The group that an address belongs to."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from support.core_samples import address

from rsfilter.routing.groups import HostGroup, HostGroups
from rsfilter.routing.model import Prefix


def groups(**networks: str) -> Iterable[HostGroup]:
    for name, texts in networks.items():
        yield HostGroup(name, tuple(map(Prefix.parse, texts.split())))


@pytest.mark.parametrize(
    ("where", "group"),
    [
        ("198.51.100.1", "a"),  # by itself, and in the range of its group
        ("198.51.100.255", "a"),
        ("198.51.101.1", "b"),
        ("198.51.101.0", "b"),
        ("198.51.101.2", None),
        ("198.51.99.255", None),
        ("203.0.113.9", "c"),
        ("2001:db8::1", "c"),
        ("2001:db9::", None),
        ("c633:6401::", "d"),
        ("::c633:6401", None),  # the number of 198.51.100.1
        ("0.0.0.1", None),
    ],
)
def test_an_address_has_the_group_that_names_it_most_closely(where: str, group: str | None) -> None:
    group_of = HostGroups(
        groups(
            a="198.51.100.0/24 198.51.100.0/26 198.51.100.1",
            b="198.51.101.0/31",
            c="2001:db8::/32 203.0.113.9",
            d="c633:6401::/64",
        )
    )
    for _ in range(2):  # what is remembered is the same
        found = group_of(address(where))
        assert (found.name if found else None) == group


def test_one_of_thousands_of_groups_is_found_at_once() -> None:
    """A search through all of them took seven seconds."""
    names = {f"g{n}": f"10.{n >> 8}.{n & 255}.0/24" for n in range(3000)}
    group_of = HostGroups(groups(**names))
    start = time.process_time()
    for n in range(9000):
        found = group_of(address(f"10.{n >> 8 & 255}.{n & 255}.1"))
        assert (found.name if found else None) == (f"g{n}" if n < 3000 else None)
    assert time.process_time() - start < 3
