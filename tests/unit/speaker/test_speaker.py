"""Replacements inside ExaBGP do the same as what they replace."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from exabgp.bgp.message import Action, Notify, Update
from exabgp.bgp.message.update.nlri import NLRI
from exabgp.bgp.neighbor import Neighbor
from exabgp.configuration.configuration import Configuration
from exabgp.logger import log
from exabgp.logger.option import option
from exabgp.protocol.family import AFI, SAFI, Family
from exabgp.reactor.api.command import limit
from exabgp.reactor.asynchronous import ASYNC
from exabgp.rib.outgoing import OutgoingRIB
from hypothesis import given
from hypothesis import strategies as st
from support.places import ROOT
from support.speaker_samples import (
    IPV4,
    IPV6,
    PARSER,
    configuration,
    negotiated,
    replaced,
    restored,
    routes,
)

from rsfilter.speaker import (
    announcing,
    collector,
    families,
    listing,
    matching,
    packing,
    prefixes,
    program,
    quiet,
    reading,
    steps,
    withdrawing,
)
from rsfilter.speaker.replacement import Replacement, fingerprint, install

# What it was made for ----------------------------------------------------------------------------


@pytest.mark.parametrize("replacement", program.REPLACEMENTS, ids=lambda each: each.name)
def test_every_source_of_the_installed_release_is_known(replacement: Replacement) -> None:
    """A new release of ExaBGP: read what changed in these functions, then add its fingerprints."""
    release = version("exabgp")
    found = {name: fingerprint(name) for name in replacement.made_for}
    assert {name: known.get(release) for name, known in replacement.made_for.items()} == found


def test_what_was_made_for_another_source_is_left_out() -> None:
    done: list[str] = []
    known = "exabgp.rib.outgoing:OutgoingRIB.pending"
    replacements = [
        Replacement(
            "good", {known: {"5.0.15": str(fingerprint(known))}}, lambda: done.append("good")
        ),
        Replacement("changed", {known: {"5.0.15": "0" * 64}}, lambda: done.append("changed")),
        Replacement("gone", {"exabgp.rib:Nothing": {"5.0.15": ""}}, lambda: done.append("gone")),
        Replacement("free", {}, lambda: done.append("free")),
    ]
    installed = install(replacements, "5.0.99")
    assert done == ["good", "free"]
    assert installed.replaced == ("good", "free")
    assert installed.left_out == {
        "changed": f"not made for the source of {known}",
        "gone": "not made for the source of exabgp.rib:Nothing",
    }


def test_a_name_without_a_source_is_unknown() -> None:
    assert fingerprint("exabgp.rib:Nothing") is None
    assert fingerprint("no_such_module:f") is None
    assert install([Replacement("x", {"exabgp.rib:Nothing": {"5.0.15": ""}}, print)], "").left_out


SHOW = """
import json, os, sys
from exabgp.application import server
server.cmdline = lambda arguments: print(
    json.dumps([json.loads(os.environ["RSFILTER_SPEAKER"]), sys.argv])
)
from rsfilter.speaker import program
if "break" in sys.argv:
    from exabgp.rib.outgoing import OutgoingRIB
    OutgoingRIB.updates = lambda self, grouped: iter(())
    sys.argv.remove("break")
program.main(sys.argv[1:])
"""


def _run(*words: str) -> tuple[dict[str, Any], list[str], str]:
    """(input of the helper, ExaBGP's words, stderr) of a server that stops at once."""
    command = [sys.executable, "-P", "-c", SHOW, *words]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    published, argv = json.loads(result.stdout)
    return published, argv, result.stderr


def test_a_server_has_everything_replaced_and_reports_it() -> None:
    published, argv, errors = _run("exabgp", "server", "x.conf")
    assert published == {
        "exabgp": version("exabgp"),
        "replaced": [each.name for each in program.REPLACEMENTS],
        "left_out": [],
    }
    assert argv[1:] == ["server", "x.conf"]
    assert Path(argv[0]).name == "exabgp"
    assert errors == ""


def test_stock_has_nothing_replaced() -> None:
    published, argv, errors = _run("--stock", "exabgp", "server", "x.conf")
    assert published == {"exabgp": version("exabgp"), "replaced": [], "left_out": []}
    assert argv[1:] == ["server", "x.conf"]
    assert errors == ""


def test_what_is_left_out_is_logged_once() -> None:
    published, _, errors = _run("break", "exabgp", "server", "x.conf")
    assert published["left_out"] == ["packing"]
    assert "packing" not in published["replaced"]
    assert errors == (
        f"rsfilter exabgp: ExaBGP {version('exabgp')}: packing left out: "
        "not made for the source of exabgp.rib.outgoing:OutgoingRIB.updates\n"
    )


def test_other_commands_are_exabgps_own() -> None:
    for words in (["exabgp", "version"], ["exabgp", "--stock", "version"]):
        command = [sys.executable, "-P", "-m", "rsfilter", *words]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        assert result.stdout.startswith(f"ExaBGP : {version('exabgp')}\n")


def test_validate_ends_as_exabgps_does(tmp_path: Path) -> None:
    (tmp_path / "bad.conf").write_text("neighbor 192.0.2.1 { nonsense; }\n")
    ours = [sys.executable, "-P", "-m", "rsfilter", "exabgp"]
    theirs = [sys.executable, "-P", "-m", "exabgp"]
    for words in (["validate", "bad.conf"], ["validate", "none.conf"], ["server", "none.conf"]):
        codes = [
            subprocess.run([*program, *words], cwd=tmp_path, capture_output=True).returncode
            for program in (ours, theirs)
        ]
        assert codes == [1, 1], words


# Routes of commands ------------------------------------------------------------------------------

NAMES = ["one", "two", "three"]
PREFIXES = ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.0/24", "2001:db8::1/128", "2001:db8::2/128"]


@st.composite
def commands(draw: st.DrawFn) -> str:
    """A route announced or withdrawn, in one family."""
    prefix = draw(st.sampled_from(PREFIXES))
    hops = ["2001:db8::ff"] if ":" in prefix else ["192.0.2.7", "192.0.2.8", "self"]
    verb = draw(st.sampled_from(["announce", "announce", "withdraw"]))
    hop = draw(st.sampled_from(hops))
    more = draw(st.sampled_from(["", " med 5", " as-path [ 65001 ]", " community [ 65001:1 ]"]))
    return f"{verb} route {prefix} next-hop {hop}{more}"


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, list[str]]]:
    """Commands for some of the neighbors; `flush` sends, `clear` withdraws everything."""
    words = st.one_of(commands(), st.sampled_from(["flush", "clear", "resend"]))
    names = st.lists(st.sampled_from([*NAMES, "stranger"]), unique=True)
    return draw(st.lists(st.tuples(words, names), max_size=12))


def sent(history: list[tuple[str, list[str]]]) -> list[tuple[str, bytes]]:
    """Octets for each neighbor, in order, after these commands."""
    made = configuration({"one": [IPV4, IPV6], "two": [IPV4], "three": [IPV4, IPV6]})
    ribs = {name: neighbor.rib.outgoing for name, neighbor in made.neighbors.items()}
    found: list[tuple[str, bytes]] = []
    for command, names in [*history, ("flush", [])]:
        if " " in command:
            for change in routes(command):
                made.inject_change(names, change)
            continue
        for name, outgoing in ribs.items():
            if command == "flush":
                found += ((name, octets) for octets in flushed(outgoing))
            elif command == "clear":
                outgoing.withdraw()
            else:
                outgoing.resend(True)
    return found


def flushed(outgoing: OutgoingRIB) -> Iterator[bytes]:
    """Messages of everything that is pending."""
    for message in outgoing.updates(True):
        if isinstance(message, Update):
            yield from message.messages(negotiated())
        else:
            yield message.message()


@given(histories())
def test_the_same_octets_are_sent_without_copies(history: list[tuple[str, list[str]]]) -> None:
    stock = sent(history)
    with replaced(announcing.REPLACEMENT, withdrawing.REPLACEMENT):
        assert sent(history) == stock


@pytest.mark.parametrize(
    ("prefix", "hop", "none"),
    [("10.0.0.{}/32", "192.0.2.7", "0.0.0.0"), ("2001:db8::{}/128", "2001:db8::ff", "::")],
)
def test_a_withdraw_with_a_tag_leaves_last_and_without_the_tag(
    prefix: str, hop: str, none: str
) -> None:
    """All withdraws of a flush are in one bucket, which another prefix may have made early."""

    def octets_of(tag: str) -> list[bytes]:
        lines = [
            f"withdraw attributes next-hop {none} nlri {prefix.format(1)}",
            f"announce attributes next-hop {hop} as-path [ 65001 ] nlri {prefix.format(2)}",
            f"withdraw attributes next-hop {none}{tag} nlri {prefix.format(3)}",
        ]
        return [octets for _, octets in sent([(line, ["one"]) for line in lines])]

    for replacements in ((), (announcing.REPLACEMENT, withdrawing.REPLACEMENT)):
        with replaced(*replacements):
            untagged, tagged = octets_of(""), octets_of(" local-preference 7")
        announced = tagged[1]
        assert untagged[-1] == announced
        assert len(tagged[0]) == len(tagged[2])
        assert tagged[0] != tagged[2]


def test_only_named_neighbors_get_an_end_of_rib() -> None:
    with replaced(announcing.REPLACEMENT):
        made = configuration({"one": [IPV4], "two": [IPV4]})
        everybody = made.neighbors
        assert made.inject_eor(["two", "stranger"], "family") is True
        assert made.inject_eor(["stranger"], "family") is False
        assert made.neighbors is everybody
        assert [list(neighbor.eor) for neighbor in everybody.values()] == [[], ["family"]]


def test_next_hop_self_is_that_of_each_session() -> None:
    with replaced(announcing.REPLACEMENT):
        made = configuration({"one": [IPV4], "two": [IPV4]})
        (change,) = routes("announce route 10.0.0.1/32 next-hop self")
        made.inject_change(NAMES, change)
        (one,) = made.neighbors["one"].rib.outgoing.queued_changes()
        assert str(one.nlri.nexthop) == "192.0.2.100"
        assert change.nlri.nexthop.SELF
        assert one is not change


# IPv6 packing ------------------------------------------------------------------------------------


def facts(messages: Iterator[Any], size: int) -> list[tuple[str, str, str, str]]:
    """(verb, prefix, next hop, attributes) of all that is sent, in order."""
    found = []
    for message in messages:
        assert isinstance(message, Update)
        assert all(len(octets) <= size for octets in message.messages(negotiated(size)))
        for nlri in message.nlris:
            verb = "announce" if nlri.action == Action.ANNOUNCE else "withdraw"
            found.append((verb, nlri.prefix(), str(nlri.nexthop), str(message.attributes)))
    return found


def queue(lines: list[tuple[str, int, int, int]]) -> OutgoingRIB:
    """A RIB with these pending: (verb, prefix, next hop, MED)."""
    outgoing = OutgoingRIB(True, [IPV4, IPV6])
    for verb, prefix, hop, med in lines:
        words = f"{verb} route 2001:db8::{prefix:x}/128 next-hop 2001:db8:1::{hop} med {med}"
        (change,) = routes(words)
        outgoing.add_to_rib(change)
    return outgoing


PENDING = st.lists(
    st.tuples(
        st.sampled_from(["announce", "announce", "withdraw"]),
        *(st.integers(1, most) for most in (6, 2, 2)),
    ),
    max_size=15,
)


@given(PENDING)
def test_packing_changes_nothing_but_the_messages(lines: list[tuple[str, int, int, int]]) -> None:
    stock = facts(queue(lines).updates(True), 4096)
    alone = facts(queue(lines).updates(False), 4096)
    with replaced(packing.REPLACEMENT):
        assert facts(queue(lines).updates(True), 4096) == stock
        assert facts(queue(lines).updates(False), 4096) == alone


def test_a_thousand_ipv6_prefixes_fill_messages() -> None:
    nlri = " ".join(f"2001:db8::{number:x}/128" for number in range(1, 1001))
    command = f"announce attributes next-hop 2001:db8:1::1 as-path [ 65001 ] nlri {nlri}"
    octets = []
    with replaced(packing.REPLACEMENT):
        outgoing = OutgoingRIB(True, [IPV4, IPV6])
        for change in routes(command):
            outgoing.add_to_rib(change)
        for update in outgoing.updates(True):
            octets += update.messages(negotiated())
    # 17 octets each, 4,096 at most in a message, some 70 for header, attributes and next hop.
    assert len(octets) == 5
    assert sum(len(each) for each in octets) > 17_000
    assert all(len(each) <= 4096 for each in octets)


def test_a_refresh_is_still_marked_off() -> None:
    with replaced(packing.REPLACEMENT):
        outgoing = queue([("announce", 1, 1, 1), ("announce", 2, 1, 1)])
        list(outgoing.updates(True))
        outgoing.resend(True, IPV6)
        kinds = [type(message).__name__ for message in outgoing.updates(True)]
        assert kinds[0] == kinds[-1] == "RouteRefresh"
        assert set(kinds[1:-1]) == {"Update"}


# Prefixes and families ----------------------------------------------------------------------------


def read(family: tuple[int, int], data: bytes, addpath: bool) -> tuple[object, ...]:
    """All prefixes in some octets, with what is left; or the error."""
    found = []
    try:
        while data:
            nlri, data = NLRI.unpack_nlri(*family, data, Action.ANNOUNCE, addpath)
            printed = (nlri.json(), nlri.json(compact=True), str(nlri), nlri.index())
            found.append((printed, nlri.pack_nlri(), nlri.family(), vars(nlri).keys()))
    except Notify as error:
        return (*found, error.code, error.subcode, str(error))
    return (*found, data)


@given(st.sampled_from([IPV4, IPV6, (1, 1), (1, 2), (2, 4)]), st.binary(max_size=40), st.booleans())
def test_prefixes_are_read_the_same(family: tuple[int, int], data: bytes, addpath: bool) -> None:
    stock = read(family, data, addpath)
    with replaced(families.REPLACEMENT, prefixes.REPLACEMENT):
        assert read(family, data, addpath) == stock


@pytest.mark.parametrize(
    ("data", "prefix"),
    [
        (b"\x20\xcb\x00\x71\x05", "203.0.113.5/32"),
        (b"\x18\xcb\x00\x71", "203.0.113.0/24"),
        (b"\x00", "0.0.0.0/0"),
        (b"\x01\x80", "128.0.0.0/1"),
    ],
)
def test_a_prefix_is_read_as_exabgp_reads_it(data: bytes, prefix: str) -> None:
    with replaced(families.REPLACEMENT, prefixes.REPLACEMENT):
        nlri, left = NLRI.unpack_nlri(*IPV4, data + b"rest", Action.ANNOUNCE, False)
    assert nlri.prefix() == prefix
    assert left == b"rest"


def test_families_are_the_same_objects() -> None:
    numbers = [*range(300), 16388, 65535]
    stock = [(AFI.create(n), SAFI.create(n % 256), str(AFI.create(n))) for n in numbers]
    with replaced(families.REPLACEMENT):
        assert [(AFI.create(n), SAFI.create(n % 256), str(AFI.create(n))) for n in numbers] == stock
        assert type(AFI.create(1)) is type(stock[1][0])
        assert Family(*IPV4).index() == b"0101"
        assert Family(25, 65).family().afi_safi() == (25, 65)


# Logging -----------------------------------------------------------------------------------------


def commanded(words: str, level: str) -> tuple[list[str], list[mock.call], list[mock.call]]:
    """(lines that are logged, replies, what was injected) by a command."""
    reactor = mock.Mock(asynchronous=ASYNC())
    reactor.peers.return_value = ["neighbor 192.0.2.1 x", "neighbor 192.0.2.2 x"]
    reactor.configuration.inject_change.side_effect = [True, False, True, False, True]
    lines: list[str] = []
    environment = mock.Mock()
    environment.log.configure_mock(level=level, destination="stderr", enable=True, all=True)
    with restored():
        log.init(environment)
        option.formater = staticmethod(lambda line, source, level, _: f"{source} {level} {line}")
        option.logger = mock.Mock()
        for name in ("debug", "info", "warning", "error"):
            getattr(option.logger, name).side_effect = lines.append
        PARSER.response(reactor, "helper", words, False)
        while reactor.asynchronous._async:
            reactor.asynchronous.run()
    return lines, reactor.processes.mock_calls, reactor.configuration.mock_calls


LONG = "attributes next-hop 192.0.2.9 nlri 10.0.0.1/32 10.0.0.2/32"


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING"])
@pytest.mark.parametrize(
    "words",
    [
        f"neighbor 192.0.2.1 announce {LONG}",
        f"neighbor 192.0.2.1 withdraw {LONG}",
        f"announce {LONG}",
        f"neighbor 192.0.2.3 announce {LONG}",
        "neighbor 192.0.2.1 announce attributes next-hop nonsense nlri 10.0.0.1/32",
        "neighbor 192.0.2.1 withdraw attributes nlri",
        "announce attribute next-hop 192.0.2.9 nlri 10.0.0.1/32",
        "withdraw attribute",
    ],
)
def test_commands_log_and_reply_the_same(words: str, level: str) -> None:
    def plain(found: tuple[list[str], Any, Any]) -> tuple[list[str], list[str], list[str]]:
        lines, replies, injected = found
        return [line for line in lines if "async |" not in line], list(map(str, replies)), injected

    stock = commanded(words, level)
    with replaced(quiet.REPLACEMENT):
        found = commanded(words, level)
    assert found[0] == stock[0]
    assert found[1] == stock[1]
    assert [str(call) for call in found[2]] == [str(call) for call in stock[2]]


def test_a_table_is_cut_as_a_list_is() -> None:
    items = list(range(7))
    rest, seen = listing.ListTail(items), []
    while rest:
        first, rest = rest[:2], rest[2:]
        seen.append(first)
    assert seen == [[0, 1], [2, 3], [4, 5], [6]]
    assert len(rest) == 0
    assert list(listing.ListTail(items, 5)) == [5, 6]


# Steps -------------------------------------------------------------------------------------------


def stepped(plan: list[tuple[int, bool]], turns: int) -> tuple[list[object], list[str]]:
    """(what happened in order, whose failure was reported) of generators of so many steps, of which
    some fail at their end."""
    happened: list[object] = []
    failed: list[str] = []

    def work(name: int, length: int, fails: bool) -> Iterator[None]:
        for step in range(length):
            happened.append((name, step))
            yield
        if fails:
            raise RuntimeError("on purpose")
        happened.append((name, "done"))

    asynchronous = ASYNC()
    asynchronous.set_error_handler(failed.append)
    for name, (length, fails) in enumerate(plan):
        asynchronous.schedule(str(name), "a command", work(name, length, fails))
    for _ in range(turns):
        asynchronous.run()
    return happened, failed


@given(st.lists(st.tuples(st.integers(0, 120), st.booleans()), max_size=8))
def test_steps_are_taken_in_the_same_order(plan: list[tuple[int, bool]]) -> None:
    with mock.patch("exabgp.reactor.asynchronous.log"):
        stock = stepped(plan, 50)
        with replaced(steps.REPLACEMENT), mock.patch("exabgp.logger.log"):
            assert stepped(plan, 50) == stock


def test_a_turn_has_an_end() -> None:
    with replaced(steps.REPLACEMENT):
        happened, _ = stepped([(10 * steps.LIMIT, False)], 1)
    assert len(happened) == steps.LIMIT


def test_a_queue_that_is_cleared_by_a_command_stays_clear() -> None:
    with replaced(steps.REPLACEMENT):
        asynchronous = ASYNC()

        def clears() -> Iterator[None]:
            asynchronous.clear()
            yield

        def never() -> Iterator[None]:
            raise AssertionError
            yield

        asynchronous.schedule("a", "clears", clears())
        asynchronous.schedule("b", "never", never())
        assert asynchronous.run() is False
        assert asynchronous._async == deque()


# Selectors ---------------------------------------------------------------------------------------

ADDRESSES = ["10.0.0.1", "10.0.0.10", "10.0.0.0/24", "2001:db8::1"]


@st.composite
def names(draw: st.DrawFn) -> str:
    address = draw(st.sampled_from(ADDRESSES))
    local, asn = draw(st.sampled_from(["10.0.0.1", "10.0.9.9"])), draw(st.sampled_from([1, 11]))
    session = "family-allowed in-open"
    return (
        f"neighbor {address} local-ip {local} local-as 1 peer-as {asn} router-id 1.2.3.4 {session}"
    )


SELECTORS = [
    *(f"neighbor {address}" for address in [*ADDRESSES, "10.0.0.0", "*", "10.0.0", "1.2.3.4"]),
    "neighbor 10.0.0.1 peer-as 11",
    "neighbor 10.0.0.1 local-ip 10.0.9.9",
    "neighbor 10.0.0.1 , neighbor 10.0.0.10",
    "neighbor 10.0.0.1 , neighbor *",
    "",
]


@given(st.lists(names(), unique=True), st.sampled_from(SELECTORS))
def test_selectors_match_the_same_neighbors(peers: list[str], selector: str) -> None:
    descriptions, command = limit.extract_neighbors(f"{selector} announce route x y".strip())
    assert "announce" in command
    stock = limit.match_neighbors(peers, descriptions)
    with replaced(matching.REPLACEMENT):
        found = limit.match_neighbors(matching.Names(peers), descriptions)
        assert sorted(found) == sorted(stock)
        assert sorted(limit.match_neighbors(set(peers), descriptions)) == sorted(stock)


def test_peers_are_listed_again_when_one_comes_or_goes() -> None:
    from exabgp.reactor.loop import Reactor
    from exabgp.reactor.peer import Peer

    with replaced(matching.REPLACEMENT):
        reactor = mock.Mock(_peers={})
        made = configuration({"one": [IPV4], "two": [IPV4]})
        for name, neighbor in made.neighbors.items():
            neighbor.api = {"processes": ["p"], "processes-match": [], "fsm": []}
            reactor._peers[name] = Peer(neighbor, reactor)
        reactor.peers = lambda service="": Reactor.peers(reactor, service)
        assert reactor.peers("p") == ["one", "two"]
        assert reactor.peers("p") is reactor.peers("p")
        assert reactor.peers("q") == []
        del reactor._peers["two"]
        assert reactor.peers("p") == ["one"]
        changed = made.neighbors["two"]
        changed.api = {"processes": ["q"], "processes-match": [], "fsm": []}
        reactor._peers["one"].reconfigure(changed)
        assert reactor.peers("q") == ["one"]
        established = Reactor.established_peers(reactor)
        assert limit.match_neighbors(established, []) == set()


# reading -----------------------------------------------------------------------------------------


def _read(text: str) -> tuple[bool, dict[str, Any]]:
    """Return whether ExaBGP takes in a configuration, and the words for the helper of each
    neighbor."""
    made = Configuration([text], text=True)
    is_read = made.reload()
    return is_read, {name: each.api for name, each in made.neighbors.items()}


def _neighbors(addresses: Sequence[str]) -> str:
    text = "process helper { run /bin/true; encoder json; }\n"
    for number, address in enumerate(addresses):
        api = "api { processes [ helper ]; receive { parsed; update; } }" if number % 2 else ""
        text += (
            f"neighbor {address} {{ router-id 192.0.2.100; local-address 192.0.2.100; "
            f"local-as 65100; peer-as 65001; passive true; {api} }}\n"
        )
    return text


@pytest.mark.parametrize("addresses", [["192.0.2.1", "192.0.2.2", "192.0.2.3"], ["192.0.2.1"] * 2])
def test_a_configuration_is_read_as_before(addresses: list[str]) -> None:
    """Neighbors twice are refused as before."""
    text = _neighbors(addresses)
    is_read, neighbors = _read(text)
    with replaced(reading.REPLACEMENT):
        again, as_before = _read(text)
    assert (again, as_before) == (is_read, neighbors)
    assert is_read == (len(set(addresses)) == len(addresses))


def test_what_one_neighbor_has_for_the_helper_is_not_of_another() -> None:
    with replaced(reading.REPLACEMENT):
        _, neighbors = _read(_neighbors(["192.0.2.1", "192.0.2.2"]))
    first, second = neighbors.values()
    assert first["processes"] == []
    assert second["processes"] == second["receive-parsed"] == ["helper"]


class Counted(str):
    """A name that counts how often it is compared."""

    __slots__ = ()
    __hash__ = str.__hash__
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return str.__eq__(self, other)


def test_a_neighbor_is_not_compared_with_all_others() -> None:
    stock = Neighbor.index
    text = _neighbors([f"192.0.2.{n}" for n in range(1, 41)])
    Counted.comparisons = 0
    with (
        replaced(reading.REPLACEMENT),
        mock.patch.object(Neighbor, "index", lambda self: Counted(stock(self))),
    ):
        is_read, neighbors = _read(text)
    assert is_read
    assert len(neighbors) == 40
    assert Counted.comparisons < 40


# collector ---------------------------------------------------------------------------------------


def test_an_interpreter_without_such_a_collector_is_left_alone() -> None:
    """The collector of PyPy has other functions."""
    with mock.patch.object(collector, "gc", mock.Mock(spec=["collect"])):
        collector.REPLACEMENT.install()
