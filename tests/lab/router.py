"""Parts that all routers of a lab have in common: sentences about their tables that wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from lab.core import Lab
from lab.routes import Community, Path, short
from lab.speaker import Endpoint, Speaker
from lab.story import details, expecting, listing
from lab.waiting import DEADLINE_S, eventually


class Router(Speaker):
    """A router that learns from route servers, with ADD-PATH when `paths` is "all".

    `over`: one session over that family carries both; None: a session for each.
    """

    enforces_first_as = False
    """True if it insists on its neighbor's ASN as the first of each path. GoBGP never does."""

    def __init__(
        self,
        lab: Lab,
        name: str,
        number: int,
        asn: int,
        route_servers: Sequence[Endpoint],
        paths: str = "best",
        over: int | None = None,
    ) -> None:
        super().__init__(lab, name, number, asn)
        self.speaks_only_over(over)
        self.paths = paths
        self._route_servers = route_servers

    def requests_refresh(self) -> None:
        """Make it request all routes from the route servers again (RFC 2918)."""
        raise NotImplementedError

    # Expectations -----------------------------------------------------------------------------

    def has(
        self,
        *prefixes: str,
        paths: int | None = None,
        next_hop: str | None = None,
        as_path: Sequence[int] | None = None,
        med: int | None = None,
        communities: Iterable[Community] | None = None,
        large_communities: Iterable[Community] | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Each prefix has a path with all that is named, and exactly so many `paths`."""
        wanted: dict[str, object] = {
            "next_hop": next_hop,
            "as_path": None if as_path is None else tuple(as_path),
            "med": med,
            "communities": None if communities is None else frozenset(communities),
            "large_communities": (
                None if large_communities is None else frozenset(large_communities)
            ),
        }
        wanted = {key: value for key, value in wanted.items() if value is not None}

        def probe() -> str | None:
            table = self.table()
            for prefix in prefixes:
                found = table.get(prefix, [])
                if paths is not None and len(found) != paths:
                    return f"{self.name} has {len(found)} paths of {prefix}, not {paths}"
                if not any(_matches(path, wanted) for path in found):
                    return f"{self.name} has no path of {prefix} with {short(wanted)}"
            return None

        detailed = details({"paths": paths} | wanted)
        self._expect(f"has {listing(prefixes)}{detailed}", probe, deadline_s)

    def reaches(self, prefixes: Mapping[str, Iterable[str]], via: str = "") -> None:
        """Each prefix has exactly one path over each of these next hops, `via` for people."""
        wanted = {prefix: sorted(hops) for prefix, hops in prefixes.items()}

        def probe() -> str | None:
            table = self.table()
            found = {p: sorted(path.next_hop for path in table.get(p, [])) for p in wanted}
            wrong = {p: hops for p, hops in found.items() if hops != wanted[p]}
            return f"{self.name} reaches {wrong}, not {wanted}" if wrong else None

        self._expect(f"reaches {listing(list(wanted))} over {via or wanted}", probe, DEADLINE_S)

    def lacks(self, *prefixes: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait until it has none of the prefixes (any more)."""

        def probe() -> str | None:
            table = self.table()
            present = [prefix for prefix in prefixes if prefix in table]
            return f"{self.name} still has {present}" if present else None

        self._expect(f"does not have {listing(prefixes)}", probe, deadline_s)

    def has_exactly(self, *prefixes: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait until it has these prefixes, and no others."""

        def probe() -> str | None:
            found = set(self.table())
            if found == set(prefixes):
                return None
            return (
                f"{self.name} misses {sorted(set(prefixes) - found)}"
                f" and has {sorted(found - set(prefixes))} beside"
            )

        self._expect(f"has {listing(prefixes) or 'nothing'} and no more", probe, deadline_s)

    def _expect(self, what: str, probe: Callable[[], str | None], deadline_s: float) -> None:
        with expecting(f"{self.name} {what}"):
            eventually(probe, self.lab.report, deadline_s)


def _matches(path: Path, wanted: dict[str, object]) -> bool:
    return all(getattr(path, name) == value for name, value in wanted.items())
