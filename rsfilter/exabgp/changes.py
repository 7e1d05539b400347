"""Changes of a router's table: what was sent, and what is to be sent, as values. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rsfilter.routing.export import OutAttributes, Paths
from rsfilter.routing.model import Address, Prefix

Sent = tuple[tuple[int, OutAttributes | None], ...]
"""Paths of a prefix sent to ExaBGP: (path id, attributes); None if the attributes are unknown."""


PathIds = frozenset[int]
"""Path ids of a prefix."""


class Batch(NamedTuple):
    """Common part of changes of several prefixes that fit one command."""

    attributes: OutAttributes | None
    """Attributes to announce; None for a withdraw."""
    path_id: int
    family: int
    is_repeat: bool
    """ExaBGP must send it even if it believes that it did."""
    goes_last: bool = False
    """Other paths of these prefixes are announced beside it: ExaBGP must not send it before them,
    or the router has none for an instant."""


Changes = dict[Batch, list[Prefix]]
"""Changes to send to a router, in order."""


class First(NamedTuple):
    """Changes of prefixes new to the router: hundreds in a row have the same."""

    desired: Paths
    family: int
    wanted: Paths
    """Paths that the router can accept."""
    path_ids: PathIds
    prefixes: list[list[Prefix]]
    """List to which such a prefix is added, for the batch of each path."""

    @classmethod
    def of(cls, desired: Paths, wanted: Paths, family: int, changes: Changes) -> First:
        """Return those of a prefix that should have these paths. They are added to `changes`."""
        batches = [Batch(attributes, i, family, False) for i, attributes in wanted]
        return cls(
            desired=desired,
            family=family,
            wanted=wanted,
            path_ids=frozenset([path_id for path_id, _ in wanted]),
            prefixes=[changes.setdefault(batch, []) for batch in batches],
        )


def add(
    changes: Changes,
    prefix: Prefix,
    paths: Sequence[tuple[int, OutAttributes | None]],
    repeated: PathIds,
) -> PathIds:
    """Add changes of a prefix: paths to announce, then those to withdraw, without attributes.
    Return their ids. `repeated`: ids of those that ExaBGP must send even if it believes that it
    did."""
    is_announced = paths[0][1] is not None
    for path_id, attributes in paths:
        batch = Batch(
            attributes=attributes,
            path_id=path_id,
            family=prefix.family,
            is_repeat=path_id in repeated,
            goes_last=attributes is None and is_announced,
        )
        changes.setdefault(batch, []).append(prefix)
    return frozenset([path_id for path_id, _ in paths])


def by_routers(
    targets: dict[Address, list[Prefix]],
) -> list[tuple[tuple[Address, ...], list[Prefix]]]:
    """Return prefixes that go to the same routers together: (routers, prefixes). Mostly all go to
    all."""
    first, *others = targets.values()
    if all(prefixes == first for prefixes in others):
        return [(tuple(targets), first)]
    routers: dict[Prefix, list[Address]] = {}
    for router, prefixes in targets.items():
        for prefix in prefixes:
            routers.setdefault(prefix, []).append(router)
    together: dict[tuple[Address, ...], list[Prefix]] = {}
    for prefix, whose in routers.items():
        together.setdefault(tuple(whose), []).append(prefix)
    return list(together.items())
