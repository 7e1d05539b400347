"""ExaBGP's own objects for tests of `speaker`, with and without what is replaced."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

from exabgp.bgp.message import Action
from exabgp.bgp.message.open.asn import ASN
from exabgp.bgp.message.update.nlri import INET, NLRI
from exabgp.bgp.neighbor import Neighbor
from exabgp.configuration.configuration import _Configuration
from exabgp.configuration.neighbor import ParseNeighbor
from exabgp.configuration.neighbor.api import ParseAPI
from exabgp.logger import _log, log
from exabgp.logger.option import option
from exabgp.protocol.family import AFI, SAFI, Family
from exabgp.protocol.ip import IP
from exabgp.reactor.api import API
from exabgp.reactor.api.command import announce, limit, rib
from exabgp.reactor.api.command.command import Command
from exabgp.reactor.asynchronous import ASYNC
from exabgp.reactor.keepalive import KA
from exabgp.reactor.listener import Listener
from exabgp.reactor.loop import Reactor
from exabgp.reactor.network.connection import Connection
from exabgp.reactor.peer import Peer
from exabgp.reactor.protocol import Protocol
from exabgp.rib import RIB
from exabgp.rib.outgoing import OutgoingRIB

from rsfilter.speaker import generation
from rsfilter.speaker.replacement import Replacement, install

option.logger = logging.getLogger("exabgp")  # of what is not enabled nothing is logged

PARSER = API(mock.Mock())

IPV4, IPV6 = (AFI.ipv4, SAFI.unicast), (AFI.ipv6, SAFI.unicast)

TOUCHED: Sequence[type | ModuleType] = (
    *(ASYNC, Connection, KA, Listener, Neighbor, OutgoingRIB, Peer, Protocol, Reactor),
    *(ParseAPI, ParseNeighbor),
    *(AFI, SAFI, Family, NLRI, INET, _log, log, option, _Configuration, announce, limit, rib),
)
"""Classes with something replaced."""


@contextmanager
def replaced(*replacements: Replacement) -> Iterator[None]:
    """ExaBGP with these replacements, and as it was afterwards."""
    commands = mock.patch.dict(Command.callback["text"])
    with restored(), commands, mock.patch.object(generation, "_is_installed", False):
        assert not install(replacements, "").left_out
        yield


@contextmanager
def restored() -> Iterator[None]:
    """Puts back whatever of `TOUCHED` is another one afterwards."""
    before = {owner: dict(vars(owner)) for owner in TOUCHED}
    try:
        yield
    finally:
        for owner, names in before.items():
            for name in vars(owner).keys() - names.keys():
                delattr(owner, name)
            for name, value in names.items():
                if vars(owner)[name] is not value:
                    setattr(owner, name, value)


def configuration(neighbors: dict[str, list[tuple[Any, Any]]]) -> Any:
    """A configuration of neighbors, each with these families and an empty RIB."""
    made = _Configuration()
    for number, (name, families) in enumerate(neighbors.items(), 1):
        neighbor = Neighbor()
        neighbor["local-address"] = IP.create("192.0.2.100")
        neighbor["peer-address"] = IP.create(f"192.0.2.{number}")
        for family in families:
            neighbor.add_family(family)
        RIB._cache.pop(name, None)
        neighbor.rib = RIB(name, True, True, families)
        made.neighbors[name] = neighbor
    return made


def routes(command: str) -> list[Any]:
    """Return what a command announces or withdraws, by ExaBGP's own parser."""
    _, _, rest = command.partition(" ")
    if rest.startswith("attributes"):
        found = PARSER.api_attributes(command, [])
    else:
        found = PARSER.api_route(command)
    assert found, command
    action = Action.WITHDRAW if command.startswith("withdraw") else Action.ANNOUNCE
    for change in found:
        change.nlri.action = action
    return list(found)


def negotiated(size: int = 4096) -> Any:
    """Return what an eBGP session agreed on, ADD-PATH apart."""
    made = mock.Mock(msg_size=size, local_as=ASN(65100), peer_as=ASN(65200), asn4=True)
    made.families = [IPV4, IPV6]
    made.addpath.send.return_value = False
    return made
