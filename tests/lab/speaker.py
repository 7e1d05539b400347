"""Parts that all BGP speakers of a lab have in common."""

from __future__ import annotations

from dataclasses import dataclass

from lab.core import Daemon, Lab
from lab.routes import Table, table_text
from lab.waiting import eventually

HOLD_TIME_S = 30
"""Long enough for a busy machine; a test that waits for its end sets its own."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address of a BGP speaker, as the configuration of the other side needs it."""

    name: str
    asn: int
    addresses: dict[int, str]
    """Addresses by family: 4 and 6, or 4 alone."""
    port: int


class Speaker(Daemon):
    """A daemon that speaks BGP, under the addresses that follow from its number.

    By default it has a session for each family, over that family.
    """

    def __init__(self, lab: Lab, name: str, number: int, asn: int) -> None:
        super().__init__(lab, name)
        self.asn = asn
        self.port = lab.bgp_port
        self.addresses = {family: lab.address(number, family) for family in lab.families}
        self.router_id = f"192.0.2.{number}"
        self.carried: dict[int, tuple[int, ...]] = {family: (family,) for family in lab.families}
        """Its sessions: which families of routes each carries, by the family it runs over."""
        self.is_idle = False
        """True if it starts with its sessions disabled, until `comes_back` (BIRD alone can)."""

    def speaks_only_over(self, family: int | None) -> None:
        """One session carries everything; without IPv6 in the lab it runs over IPv4."""
        if family is not None:
            self.carried = {min(family, max(self.lab.families)): self.lab.families}

    @property
    def session_addresses(self) -> list[str]:
        """Addresses at which its sessions end."""
        return [self.addresses[family] for family in self.carried]

    @property
    def endpoint(self) -> Endpoint:
        """Return this speaker as the other side sees it."""
        return Endpoint(self.name, self.asn, self.addresses, self.port)

    def sessions(self) -> dict[str, bool]:
        """Its sessions by name or address, and which are established."""
        raise NotImplementedError

    def table(self) -> Table:
        """The paths it has learnt, by prefix."""
        raise NotImplementedError

    def is_up(self) -> None:
        """Wait until every session is established."""

        def probe() -> str | None:
            down = [name for name, up in self.sessions().items() if not up]
            return f"{self.name} has no session with {down}" if down else None

        eventually(probe, self.lab.report)

    def state(self) -> str:
        """Sessions and table."""
        sessions = " ".join(f"{n}:{'up' if up else 'DOWN'}" for n, up in self.sessions().items())
        return f"    {sessions}\n{table_text(self.table())}"
