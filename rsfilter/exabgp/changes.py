"""Changes of a router's table: what was sent, and what is to be sent. Pure values."""

from __future__ import annotations

from typing import NamedTuple

from rsfilter.routing.export import OutAttributes
from rsfilter.routing.model import Prefix

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
