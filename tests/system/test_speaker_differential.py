"""Stock ExaBGP and one with everything replaced, beside each other: the same peers, commands and
troubles. Peers are sent the same, and the helper gets the same."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from lab.waiting import eventually
from support.places import TESTS
from support.speaker_peer import (
    FLOW,
    IPV4,
    IPV6,
    KEEPALIVE,
    MARKER,
    NOTIFICATION,
    ROUTE_REFRESH,
    UPDATE,
    Fact,
    Peer,
    message,
    nlri,
    open_,
    update,
)

pytestmark = pytest.mark.lab

HELPER = TESTS / "support" / "speaker_helper.py"
OWN_ASN = 65100
PEERS = 5
VOLATILE = ("time", "pid", "ppid", "host")

Step = tuple[str, Any]

# What happens -------------------------------------------------------------------------------------


def scenario(seed: int) -> tuple[list[str], list[Step]]:
    """(options of each neighbor, what happens) by chance."""
    chance = random.Random(seed)
    options = []
    for number in range(PEERS):
        words = [
            f"group-updates {chance.choice(['true', 'false'])};",
            f"manual-eor {chance.choice(['true', 'false'])};",
            f"adj-rib-in {chance.choice(['true', 'false'])};",
        ]
        refresh = "route-refresh enable;" if chance.random() < 0.8 else "route-refresh disable;"
        restart = "graceful-restart 60;" if chance.random() < 0.3 else ""
        words.append(f"capability {{ {refresh} {restart} }}")
        echo = "send { parsed; update; }" if number % 2 else ""
        words.append(
            "api { processes [ helper ]; neighbor-changes; receive { parsed; update; open; "
            f"notification; refresh; }} {echo} }}"
        )
        options.append(" ".join(words))
    steps: list[Step] = [("come", number) for number in range(PEERS - 1)]
    steps += (_step(chance) for _ in range(14))
    return options, [*steps, ("come", PEERS - 1), ("commands", ["show adj-rib out"])]


def _step(chance: random.Random) -> Step:
    kinds = {
        "commands": 9,
        "updates": 3,
        "refresh": 2,
        "go": 2,
        "trouble": 3,
        "stranger": 1,
        "second": 1,
        "stall": 1,
        "reload": 1,
    }
    kind = chance.choices(list(kinds), list(kinds.values()))[0]
    number = chance.randrange(PEERS)
    if kind == "commands":
        return kind, _commands(chance)
    if kind == "updates":
        some = chance.sample([*V4, *V6], 4)
        return kind, (number, some[:2], some[2:])
    if kind == "refresh":
        return kind, (number, chance.choice([IPV4, IPV6]))
    if kind == "trouble":
        return kind, (number, chance.choice(sorted(TROUBLES)))
    if kind == "go":
        return kind, (number, chance.choice(["closes", "cease"]))
    return kind, number


V4 = [f"203.0.113.{number}/32" for number in range(1, 20)] + ["198.51.100.0/24", "0.0.0.0/0"]
V6 = [f"2001:db8::{number:x}/128" for number in range(1, 20)] + ["2001:db8:1::/48"]


def _commands(chance: random.Random) -> list[str]:
    """Commands, in which no prefix has a second one: stock's own order is not defined then."""
    prefixes = chance.sample(V4, 8) + chance.sample(V6, 8)
    chance.shuffle(prefixes)
    made = []
    for _ in range(chance.randint(1, 6)):
        selector = _selector(chance)
        prefix = prefixes.pop()
        family = [each for each in prefixes if (":" in each) == (":" in prefix)]
        some = [prefix, *chance.sample(family, min(2, len(family)))]
        kind = chance.randrange(12)
        hops = ["2001:db8:9::9"] if ":" in prefix else ["192.0.2.9", "192.0.2.8", "self"]
        hop = chance.choice(hops)
        extra = chance.choice(EXTRAS)
        verb = chance.choice(["announce", "announce", "withdraw"])
        if kind < 5:
            made.append(f"{selector}{verb} route {prefix} next-hop {hop}{extra}")
        elif kind < 8:
            prefixes = [each for each in prefixes if each not in some]
            made.append(f"{selector}{verb} attributes next-hop {hop}{extra} nlri {' '.join(some)}")
        elif kind < 9:
            version = "ipv6" if ":" in prefix else "ipv4"
            made.append(f"{selector}{verb} {version} unicast {prefix} next-hop {hop}{extra}")
        elif kind < 11:
            made.append(chance.choice(OTHERS).replace("SELECTOR ", selector))
        elif not made:
            return [chance.choice(ALL).replace("SELECTOR ", selector)]
    return made or ["version"]


EXTRAS = [
    "",
    " med 7",
    " as-path [ 65001 65002 ]",
    " community [ 65001:1 65535:0 ]",
    " large-community [ 65001:1:2 ]",
    " local-preference 50",
    " origin incomplete",
    " path-information 5",
]

ALL = ["SELECTOR flush adj-rib out", "SELECTOR clear adj-rib out"]
"""Change every prefix, and so stand alone."""

OTHERS = [
    "SELECTOR announce eor ipv4 unicast",
    "SELECTOR announce eor ipv6 unicast",
    "SELECTOR announce route-refresh ipv4 unicast",
    "announce watchdog dog",
    "withdraw watchdog dog",
    "version",
    "# a comment",
    "nonsense",
    "announce route nonsense",
    "announce route 203.0.113.1/24 next-hop 192.0.2.9",
    "neighbor 192.0.2.77 announce route 203.0.113.1/32 next-hop 192.0.2.9",
    "SELECTOR announce flow route { match { source 10.0.0.1/32; } then { discard; } }",
    "SELECTOR withdraw flow route { match { source 10.0.0.1/32; } then { discard; } }",
    "show neighbor 192.0.2.77 summary",
]


def _selector(chance: random.Random) -> str:
    first, second = chance.sample(range(PEERS), 2)
    return chance.choice(
        [
            "",
            "neighbor * ",
            f"neighbor PEER{first} ",
            f"neighbor PEER{first} ",
            f"neighbor PEER{first} , neighbor PEER{second} ",
            f"neighbor PEER{first} peer-as {65001 + first} ",
        ]
    )


TROUBLES: dict[str, Callable[[Peer], list[bytes]]] = {
    "bad marker": lambda _: [b"\x00" + message(KEEPALIVE)[1:]],
    "bad type": lambda _: [message(9)],
    "bad length": lambda _: [MARKER + b"\x00\x05\x04"],
    "bad attributes": lambda _: [message(UPDATE, b"\x00\x00\x00\x05\x40\x01\x09\x00\x00")],
    "bad origin": lambda peer: [
        message(UPDATE, b"\x00\x00\x00\x12\x40\x01\x02\x00\x00\x40\x02\x00\x40\x03\x04"
                + socket.inet_aton(peer.address) + b"\x00\x00" + nlri("203.0.113.99/32"))
    ],
    "bad prefix": lambda _: [message(UPDATE, b"\x00\x02\x21\x01\x00\x00")],
    "in pieces": lambda peer: [
        octets[at : at + 9]
        for octets in update(peer.asn, peer.address, ["203.0.113.98/32"], [])
        for at in range(0, len(octets), 9)
    ],
    "open again": lambda peer: [open_(peer.asn, peer.address, (IPV4,))],
}  # fmt: skip


# One ExaBGP and its peers -------------------------------------------------------------------------


class World:
    """An ExaBGP, a helper that is us, and peers."""

    def __init__(self, place: Path, net: int, options: list[str], *, is_stock: bool) -> None:
        self._place, self._net, self._options = place, net, options
        self.server = f"127.87.{net}.100"
        with socket.socket() as free:
            free.bind((self.server, 0))
            self.port = free.getsockname()[1]
        families = [(IPV4, IPV6, FLOW), (IPV4, IPV6), (IPV4,)]
        self.peers = [
            Peer(f"127.87.{net}.{n + 1}", 65001 + n, (self.server, self.port), families[n % 3])
            for n in range(PEERS)
        ]
        self._present = list(range(PEERS))
        self._lines: list[str] = []
        self._marks = 0
        self._configure()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(place / "socket"))
        self._listening.listen()
        words = ["--stock"] if is_stock else []
        self._log = (place / "log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rsfilter.speaker", *words, "exabgp", "server", "x.conf"],
            cwd=place,
            env={
                **os.environ,
                "exabgp_tcp_bind": self.server,
                "exabgp_tcp_port": str(self.port),
                "exabgp_api_cli": "false",
                "exabgp_daemon_user": "root",
                "exabgp_log_level": "INFO",
                "exabgp_log_destination": "stderr",
                "exabgp_reactor_speed": "0.1",
            },
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self._listening.settimeout(60)
        self._helper, _ = self._listening.accept()
        threading.Thread(target=self._listen, daemon=True).start()
        self.sends(["version"])

    def close(self) -> None:
        """End everything."""
        for peer in self.peers:
            if peer._socket is not None:
                peer.closes()
        self.process.terminate()
        self.process.wait(30)
        self._helper.close()
        self._listening.close()
        self._log.close()

    def loses_its_helper(self) -> None:
        """Kill the helper, and talk with the one that ExaBGP starts in its place."""
        pid = self.process.pid
        (helper,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(helper), signal.SIGKILL)
        self._helper.close()
        self._helper, _ = self._listening.accept()
        threading.Thread(target=self._listen, daemon=True).start()

    def _configure(self) -> None:
        command = f'"{sys.executable}" "{HELPER}" "{self._place}/socket"'  # paths may have spaces
        text = f"process helper {{ run {command}; encoder json; }}\n"
        for number in self._present:
            peer = self.peers[number]
            route = "unicast 192.0.2.200/32 next-hop 192.0.2.1 watchdog dog withdraw;"
            routes = f"announce {{ ipv4 {{ {route} }} }}"
            text += (
                f"neighbor {peer.address} {{ router-id 192.0.2.100; local-address {self.server}; "
                f"local-as {OWN_ASN}; peer-as {peer.asn}; hold-time 30; passive true; "
                f"family {{ ipv4 unicast; ipv6 unicast; ipv4 flow; }} {self._options[number]} "
                f"{routes if number == 0 else ''} }}\n"
            )
        (self._place / "x.conf").write_text(text)

    def _listen(self) -> None:
        with self._helper.makefile("r") as stream:
            for line in stream:
                self._lines.append(line.rstrip("\n"))

    def report(self) -> str:
        """Evidence for a test that waits in vain."""
        states = [(p.address, p.is_up, p.is_closed, len(p.received)) for p in self.peers]
        log = (self._place / "log").read_text()[-3000:]
        return f"{states}\n{self._lines[-5:]}\n{log}"

    def wait(self, what: str, is_so: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        eventually(lambda: None if is_so() else what, self.report, 60)

    def sends(self, commands: list[str]) -> None:
        """Give commands in one write; return when each has its reply."""
        before = self._replies()
        words = [self._placed(each) for each in commands]
        self._helper.sendall("".join(f"{each}\n" for each in words).encode())
        wanted = before + len(commands)
        self.wait(f"no reply to all of {words}", lambda: self._replies() >= wanted)

    def _placed(self, words: str) -> str:
        return re.sub(r"PEER(\d)", lambda m: self.peers[int(m[1])].address, words)

    def _replies(self) -> int:
        return sum(line in ("done", "error") for line in self._lines)

    # Steps ----------------------------------------------------------------------------------------

    def does(self, step: Step) -> list[object]:
        """Result of one step, as all peers and the helper saw it."""
        kind, what = step
        since = [len(peer.received) for peer in self.peers]
        sessions = [peer.received for peer in self.peers]
        lines = len(self._lines)
        getattr(self, f"_{kind}")(what)
        self._settles()
        seen: list[object] = []
        for number, peer in enumerate(self.peers):
            at = since[number] if peer.received is sessions[number] else 0
            facts = [self._same(fact) for fact in peer.facts(at) if not is_mark(fact)]
            seen.append(("peer", number, sorted(facts), peer.others(at), peer.is_closed))
        return seen + self._parsed(self._lines[lines:])

    def _settles(self) -> None:
        """Wait until all requests have been sent: a route that is new to all peers follows them."""
        self._marks += 1
        prefix = f"100.64.{self._marks >> 8}.{self._marks & 255}/32"
        extra = f"community [ 65000:{self._marks} ]"
        self.sends([f"announce route {prefix} next-hop 192.0.2.254 {extra}"])
        for number in self._present:
            peer = self.peers[number]
            if peer.is_up:
                self.wait(
                    f"{peer.address} has no mark",
                    lambda peer=peer: (
                        not peer.is_up or any(fact.nlri == nlri(prefix) for fact in peer.facts())
                    ),
                )
        self.sends(["#"])

    def _parsed(self, lines: list[str]) -> list[object]:
        """Lines for the helper: replies in order, and events of each neighbor in order. Copies of
        what was sent are compared as what peers got: packing may differ."""
        replies: list[object] = []
        of: dict[str, list[object]] = {}
        for line in lines:
            if not line.startswith("{"):
                replies.append(self._anonymous(line))
                continue
            document = json.loads(self._anonymous(line))
            for name in VOLATILE:
                document.pop(name, None)
            neighbor = document.get("neighbor", {})
            if neighbor.get("direction") == "send":
                continue
            document.pop("counter", None)  # counts copies, too
            of.setdefault(neighbor.get("address", {}).get("peer", ""), []).append(document)
        texts = Counter(map(str, replies))
        return [("replies", replies if "show" not in texts else sorted(map(str, replies))), of]

    def _same(self, fact: Fact) -> Fact:
        """Text with the own address of every run."""
        ours = socket.inet_aton(self.server)
        return fact._replace(next_hop=b"self") if fact.next_hop == ours else fact

    def _anonymous(self, text: str) -> str:
        return text.replace(f"127.87.{self._net}.", "127.87.N.")

    def _ups(self, peer: Peer) -> int:
        return self._count(peer, '"state": "up"')

    def _downs(self, peer: Peer) -> int:
        return self._count(peer, '"state": "down"')

    def _count(self, peer: Peer, words: str) -> int:
        of_peer = f'"peer": "{peer.address}"'
        return sum(of_peer in line and words in line for line in self._lines)

    def _come(self, number: int) -> None:
        peer = self.peers[number]
        if peer.is_up or number not in self._present:
            return
        before = self._ups(peer)
        peer.connects()
        self.wait(f"{peer.address} is not up", lambda: self._ups(peer) > before and peer.is_up)

    def _commands(self, commands: list[str]) -> None:
        self.sends(commands)

    def _updates(self, what: tuple[int, list[str], list[str]]) -> None:
        number, announced, withdrawn = what
        peer = self.peers[number]
        if not peer.is_up:
            return
        if IPV6 not in peer._families:
            announced, withdrawn = (
                [each for each in those if ":" not in each] for those in (announced, withdrawn)
            )
        for octets in update(peer.asn, peer.address, announced, withdrawn):
            peer.sends(octets)
        self._sends_mark(peer, lambda: False)

    def _sends_mark(self, peer: Peer, is_over: Callable[[], bool]) -> None:
        """Wait until a route that follows has come through, or the session is over."""
        self._marks += 1
        mark = f"100.65.{self._marks >> 8}.{self._marks & 255}/32"
        for octets in update(peer.asn, peer.address, [mark], []):
            peer.sends(octets)
        words = f'"{mark}"'
        self.wait(
            "the helper has no mark",
            lambda: is_over() or any(words in line for line in self._lines),
        )

    def _refresh(self, what: tuple[int, tuple[int, int]]) -> None:
        number, (afi, safi) = what
        peer = self.peers[number]
        if peer.is_up and (afi, safi) in peer._families:
            peer.sends(message(ROUTE_REFRESH, bytes([0, afi, 0, safi])))
            self._updates((number, [], []))

    def _go(self, what: tuple[int, str]) -> None:
        number, how = what
        peer = self.peers[number]
        if not peer.is_up:
            self._come(number)
            return
        before = self._downs(peer)
        if how == "cease":
            peer.sends(message(NOTIFICATION, b"\x06\x02"))
        peer.closes()
        self.wait("nobody is down", lambda: self._downs(peer) > before)

    def _trouble(self, what: tuple[int, str]) -> None:
        number, which = what
        peer = self.peers[number]
        if not peer.is_up:
            self._come(number)
            return
        before = self._downs(peer)
        for piece in TROUBLES[which](peer):
            peer.sends(piece)
            time.sleep(0.002)  # pieces of their own
        self._sends_mark(peer, lambda: peer.is_closed and self._downs(peer) > before)

    def _stranger(self, _number: int) -> None:
        stranger = Peer(f"127.87.{self._net}.77", 65077, (self.server, self.port))
        stranger.connects()
        self.wait("a stranger stays", lambda: stranger.is_closed)
        assert [kind for kind, _ in stranger.received] == [NOTIFICATION]

    def _second(self, number: int) -> None:
        peer = self.peers[number]
        if peer.is_up:
            second = Peer(peer.address, peer.asn, (self.server, self.port))
            second.connects(is_silent=True)
            self.wait("a second connection stays", lambda: second.is_closed)

    def _stall(self, number: int) -> None:
        peer = self.peers[number]
        if not peer.is_up:
            return
        peer.stalls()
        for part in range(8):  # half a megabyte; a peer takes 8 kB beforehand
            prefixes = " ".join(f"10.{part}.{n}.0/32" for n in range(256))
            community = " ".join(f"65001:{n}" for n in range(50))
            self.sends(
                [
                    f"neighbor {peer.address} announce attributes next-hop 192.0.2.9 "
                    f"med {part} community [ {community} ] nlri {prefixes}"
                ]
            )
        self.sends(["version"])
        peer.goes_on()

    def _reload(self, number: int) -> None:
        """A neighbor goes from the configuration, or comes back."""
        peer = self.peers[number]
        if number in self._present:
            self._present.remove(number)
        else:
            self._present = sorted([*self._present, number])
        self._configure()
        output = "loaded new configuration successfully"
        log = self._place / "log"
        before = log.read_text().count(output)
        self.process.send_signal(signal.SIGUSR1)
        self.wait("not reloaded", lambda: log.read_text().count(output) > before)
        if number not in self._present and peer.is_up:
            self.wait("a removed peer stays", lambda: peer.is_closed)
        elif number in self._present:
            self._come(number)


def is_mark(fact: Fact) -> bool:
    """Return whether this is the route that `_settles` announces, or a replay of it."""
    return fact.family == IPV4 and fact.nlri[1:3] == b"\x64\x40"


@pytest.fixture
def worlds() -> Iterator[Callable[[list[str]], tuple[World, World]]]:
    with tempfile.TemporaryDirectory(prefix="speaker-") as place:
        made: list[World] = []

        def make(options: list[str]) -> tuple[World, World]:
            nets = random.sample(range(1, 250), 2)
            for net, is_stock in zip(nets, (True, False), strict=True):
                own = Path(place, str(net))
                own.mkdir()
                made.append(World(own, net, options, is_stock=is_stock))
            return made[0], made[1]

        yield make
        for world in made:
            world.close()


def test_stock_and_replaced_exabgp_end_alike(worlds: Any) -> None:
    seen = []
    for world in worlds(scenario(1)[0]):
        world.does(("come", 0))
        pid = world.process.pid
        assert Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"exabgp\0server\0x.conf\0")
        world.process.send_signal(signal.SIGTERM)
        code = world.process.wait(30)
        world.wait("a peer stays", lambda world=world: world.peers[0].is_closed)
        sent = world._parsed(world._lines[-2:])
        seen.append((code, sent, world.peers[0].others()))
    assert difference(*seen) is None
    assert seen[0][0] == 0


def test_a_helper_that_dies_is_started_again(worlds: Any) -> None:
    seen = []
    for world in worlds(scenario(1)[0]):
        world.does(("come", 0))
        world.loses_its_helper()
        seen.append(world.does(("commands", ["announce route 203.0.113.1/32 next-hop self"])))
    assert difference(*seen) is None


def test_protected_sessions_come_up_as_with_stock_exabgp(worlds: Any) -> None:
    """The same come up: with the right password and TTL. Only ours checks the TTL of a connection
    that it has accepted, also when OPEN and all that follows come before it can; and only ours has
    a peer come up that checks from the first packet on."""
    api = "api { processes [ helper ]; neighbor-changes; }"
    md5, gtsm = 'md5-password "right";', "outgoing-ttl 255; incoming-ttl 255;"
    options = [f"{md5} {gtsm} {api}", f"{md5} {api}", *[f"{gtsm} {api}"] * 3]
    stock, ours = worlds(options)
    for world in (stock, ours):
        right, wrong, far, hasty, strict = world.peers
        right.password, right.ttl, right.checks_ttl = "right", 255, "when connected"
        strict.ttl, strict.checks_ttl, strict.patience_s = 255, "at once", 2.0
        wrong.password, wrong.patience_s, far.ttl, hasty.ttl = "wrong", 2.0, 64, 64
        far.connects()
        hasty.connects(open_(hasty.asn, hasty.address, (IPV4,)) + message(KEEPALIVE))
        with pytest.raises(TimeoutError):
            wrong.connects()
        world._come(0)
        assert not world._ups(wrong)
    for peer in stock.peers[2:4]:
        stock.wait("the stock does not come up", lambda peer=peer: stock._ups(peer))
    with pytest.raises(TimeoutError):
        stock.peers[4].connects()
    ours._come(4)
    ours.wait("it is not closed", lambda: ours.peers[3].is_closed)
    assert "data came before the TTL could be checked" in (ours._place / "log").read_text()
    assert not [peer.address for peer in ours.peers[1:4] if ours._ups(peer)]


@pytest.mark.parametrize("seed", range(1, 7))
def test_peers_and_helper_see_no_difference(worlds: Any, seed: int) -> None:
    options, steps = scenario(seed)
    both = worlds(options)
    with ThreadPoolExecutor(2) as pool:
        for step in steps:
            stock, ours = pool.map(lambda world, step=step: world.does(step), both)
            assert difference(stock, ours) is None, (seed, step)


def difference(stock: list[object], ours: list[object]) -> tuple[object, object] | None:
    """The first thing that is not the same."""
    assert len(stock) == len(ours)
    return next(((a, b) for a, b in zip(stock, ours, strict=True) if a != b), None)
