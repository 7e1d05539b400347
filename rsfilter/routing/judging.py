"""Judge routes: every check of `policy` runs, and every reason is kept.

`judge` is a pure function of the route, the host group of its neighbor and the active data. A
`Judge` does the same for many routes: what is shared by those of an announcement is judged once.
"""

from __future__ import annotations

from collections.abc import Callable

from rsfilter.routing import policy
from rsfilter.routing.groups import HostGroup
from rsfilter.routing.model import (
    BITS,
    Announcement,
    OriginState,
    Prefix,
    Route,
    Validation,
    Verdict,
    VerdictKind,
)
from rsfilter.routing.policy import MALFORMED, NO_GROUP, Reasons
from rsfilter.routing.reasons import REASONS
from rsfilter.routing.validation import Data, DataUnavailableError, origin, validator

MAX_KNOWN = 64
"""Verdicts that an announcement keeps for its next prefixes: those of as many blocks of a host."""

_NOT_VALIDATED = Validation(OriginState.NOT_FOUND)


def judge(
    route: Route, group: HostGroup | None, data: Data, *, within_limit: bool = True
) -> Verdict:
    """The verdict of a route from a neighbor of `group`; None: the neighbor is in no group.

    `within_limit` is false for a route beyond the group's `max_prefixes`: counting is the RIB's.
    """
    return _Shared(route.announcement, group, data, within_limit).judge(route.key.prefix)


def findings(route: Route, group: HostGroup | None, data: Data) -> dict[str, Reasons]:
    """`judge` check by check, in order of checking: the names of the reasons that each found."""
    rules, announced, prefix = group or NO_GROUP, route.announcement, route.key.prefix
    found: dict[str, Reasons] = {"group": () if group else ("neighbor_unknown",)}
    for check in policy.PATH_CHECKS:
        found[_name(check)] = check(announced, rules, data)
    is_well_formed = prefix.is_well_formed
    found["prefix"] = () if is_well_formed else MALFORMED
    for prefix_check in policy.PREFIX_CHECKS + policy.SPARED_CHECKS:
        reasons = prefix_check(prefix, rules, data) if is_well_formed else ()
        found[_name(prefix_check)] = reasons
    found["origin"] = _origin(announced, prefix, rules, data) if is_well_formed else ()
    return found


def _origin(announced: Announcement, prefix: Prefix, rules: HostGroup, data: Data) -> Reasons:
    try:
        validation = origin(prefix, announced.asn, data, announced.neighbor)
    except DataUnavailableError:
        return ("data_unavailable",)
    return policy.check_origin(announced, rules, validation)


def _name(check: policy.PathCheck | policy.PrefixCheck) -> str:
    return check.__name__.removeprefix("check_")


class _Shared:
    """Judgement of an announcement, and of one prefix after the other that it announces."""

    __slots__ = (
        "_bogons",
        "_host_length",
        "_known",
        "_reasons",
        "_rules",
        "_shift",
        "_validate",
        "announced",
        "data",
        "group",
        "within_limit",
    )

    def __init__(
        self, announced: Announcement, group: HostGroup | None, data: Data, within_limit: bool
    ) -> None:
        self.announced, self.group, self.data = announced, group, data
        self.within_limit = within_limit
        rules = self._rules = group or NO_GROUP
        reasons: Reasons = () if group else ("neighbor_unknown",)
        for check in policy.PATH_CHECKS:
            reasons += check(announced, rules, data)
        self._reasons = reasons if within_limit else (*reasons, "max_prefixes")
        self._validate = validator(announced.asn, data, announced.neighbor)
        bits = BITS[announced.family]
        self._host_length = bits if bits in rules.lengths(announced.family) else -1
        """Length of a host route; -1 if the group allows none."""
        self._shift = bits - 8
        self._bogons = policy.BOGON_OCTETS[announced.family]
        self._known: dict[int, Verdict] = {}
        """Verdicts on prefixes without reasons of their own, by the identity of the validation. No
        other object can get it meanwhile, because the verdict keeps the validation alive."""

    def is_of(
        self, announced: Announcement, group: HostGroup | None, data: Data, within_limit: bool
    ) -> bool:
        """Return whether the judgement is of this announcement, by this group and these data."""
        return (
            self.announced is announced
            and self.group is group
            and self.data is data
            and self.within_limit is within_limit
        )

    def judge(self, prefix: Prefix) -> Verdict:
        """Return the verdict on a prefix: by all reasons, of the announcement and of its own."""
        checks = policy.PREFIX_CHECKS
        # A host route that the group allows, far from any bogon, as nearly all are, passes
        # `SPARED_CHECKS`.
        if prefix.length != self._host_length or prefix.network >> self._shift in self._bogons:
            if not prefix.is_well_formed:
                return _conclude(self._reasons + MALFORMED, _NOT_VALIDATED)
            checks += policy.SPARED_CHECKS
        own: Reasons = ()
        for check in checks:
            own += check(prefix, self._rules, self.data)
        try:
            validation = self._validate(prefix)
        except DataUnavailableError:
            return _conclude((*self._reasons, *own, "data_unavailable"), _NOT_VALIDATED)
        if own:
            return self._validated(own, validation)
        known = self._known.get(id(validation))
        if known is None:
            if len(self._known) == MAX_KNOWN:
                self._known.clear()
            known = self._known[id(validation)] = self._validated(own, validation)
        return known

    def _validated(self, own: Reasons, validation: Validation) -> Verdict:
        origin = policy.check_origin(self.announced, self._rules, validation)
        return _conclude(self._reasons + own + origin, validation)


class Judge:
    """`judge` for many routes one after the other: what those of an announcement share is judged
    once, and equal verdicts are mostly one object."""

    def __init__(self) -> None:
        self._shared: _Shared | None = None
        """Judgement of the last announcement."""

    def __call__(
        self, route: Route, group: HostGroup | None, data: Data, *, within_limit: bool = True
    ) -> Verdict:
        """See `judge`."""
        return self.of(route.announcement, group, data, within_limit)(route.key.prefix)

    def of(
        self, announced: Announcement, group: HostGroup | None, data: Data, within_limit: bool
    ) -> Callable[[Prefix], Verdict]:
        """Return the judge of the prefixes of an announcement."""
        shared = self._shared
        if shared is None or not shared.is_of(announced, group, data, within_limit):
            shared = self._shared = _Shared(announced, group, data, within_limit)
        return shared.judge


def _conclude(found: Reasons, validation: Validation) -> Verdict:
    if not found:
        return Verdict(VerdictKind.ACCEPTED, (), validation)
    reasons = tuple(name for name in REASONS if name in found)
    return Verdict(VerdictKind.REJECTED, reasons, validation)
