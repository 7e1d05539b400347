"""Digest of the configuration that bears on reasons which data cause.

If a route was accepted, and is rejected after a restart, the cause is either new data or a new
configuration. The guard holds only the former.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from rsfilter.routing.groups import HostGroup
from rsfilter.routing.model import Announcement, Prefix
from rsfilter.routing.policy import NO_GROUP
from rsfilter.routing.validation import Data, Source


def rules(announced: Announcement, group: HostGroup | None, data: Data) -> str:
    """The digest: a route that has the same one twice owes another verdict to the data alone, as
    far as it is for reasons that data can bring (`guard.BY_DATA`)."""
    own = group or NO_GROUP
    unused = data.truth_source is Source.UNUSED, data.rtr_source is Source.UNUSED
    is_others = not own.others_addresses.isdisjoint(announced.next_hops)
    return _digest(own.next_hops, own.accept_not_found, is_others, data.mode.value, unused)


@lru_cache(maxsize=1 << 10)
def _digest(
    next_hops: tuple[Prefix, ...] | None,
    accept_not_found: bool,
    is_others_next_hop: bool,
    mode: str,
    unused: tuple[bool, bool],
) -> str:
    listed = None if next_hops is None else sorted(map(str, next_hops))
    content = repr((listed, accept_not_found, is_others_next_hop, mode, unused))
    return hashlib.sha256(content.encode()).hexdigest()[:12]
