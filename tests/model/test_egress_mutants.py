"""Planted mistakes of the egress, and that random runs against the model of ExaBGP find each.

A run takes changes, flaps, reloads, routers that hang, refused commands and lost replies in any
order, with few steps for ExaBGP and little room for the egress. It ends wrong when a router has
something else than it should in the end; when a change is sent while an earlier one of the same
path has not left yet; when a router misses a prefix that has a path always; or when it is
sent new prefixes while changes of those that it has wait.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
from support import exabgp_model
from support.egress_samples import OWN_ASN, PREFIXES, A, B, C, attributes
from support.exabgp_model import ExaBGP, Peer

from rsfilter.exabgp import egress as egress_module
from rsfilter.exabgp import encode
from rsfilter.exabgp import router as router_module
from rsfilter.exabgp.changes import Batch
from rsfilter.exabgp.egress import Egress
from rsfilter.exabgp.pending import Pending
from rsfilter.exabgp.router import RouterState
from rsfilter.exabgp.router_states import Phase
from rsfilter.routing.export import Paths
from rsfilter.routing.groups import RouterGroup
from rsfilter.routing.model import IPV4, Address, Prefix

BEST, ALL = map(Address.parse, ("192.0.2.1", "192.0.2.2"))
STEADY = (A, B)
"""Prefixes that always have a path."""
CHANGING = (C, *PREFIXES[3:])
RUNS, STEPS = 300, 60


class WrongError(Exception):
    """A state that must never occur."""


class StrictPeer(Peer):
    """A router that notices at once what the egress must not do to it."""

    is_faulty = False
    """Commands were refused, or replies lost: then a prefix may be missing for an instant."""
    had: set[str]
    """Prefixes that it has had in this session."""

    def change(self, key: tuple[str, str], attributes: str | None, bucket: str) -> None:
        if any(each.get(key, attributes) != attributes for each in self.buckets.values()):
            raise WrongError(f"{key} is told again before it has left")
        super().change(key, attributes, bucket)

    def receive(self, key: tuple[str, str], attributes: str | None) -> None:
        super().receive(key, attributes)
        if attributes is not None:
            self.had.add(key[0])
        elif self.misses(key[0]) and not self.is_faulty:
            raise WrongError(f"{key[0]} is missing for an instant")

    def misses(self, prefix: str) -> bool:
        """A router has lost a prefix that always has a path."""
        is_steady = prefix in self.had and prefix in map(str, STEADY)
        return is_steady and not any(each == prefix for each, _ in self.table)

    def up(self) -> None:
        self.had = set()
        super().up()


class Run:
    """One random run."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.desired: dict[str, dict[Prefix, Paths]] = {"best": {}, "all": {}}
        groups = [
            RouterGroup("best", (BEST,), 65200),
            RouterGroup("all", (ALL,), 65200, all_paths=True),
        ]
        self.egress = Egress(OWN_ASN, groups, self.desired.__getitem__)
        self.egress.is_ready = True
        self.exabgp = ExaBGP([])
        self.exabgp.peers = {str(router): StrictPeer() for router in (BEST, ALL)}
        self.now = 0.0
        self.steps = 0

    def go(self) -> None:
        """Run a storm. Raises WrongError, or AssertionError."""
        for prefix in PREFIXES:
            self.change(prefix)
        self.flap(BEST)
        self.flap(ALL)
        for _ in range(STEPS):
            self.steps += 1
            self.step()
        self.end()

    def step(self) -> None:
        router = self.random.choice((BEST, ALL))
        chance = self.random.random()
        if chance < 0.5:
            self.change(self.random.choice(PREFIXES))
        elif chance < 0.55:
            self.flap(router)
        elif chance < 0.57:
            self.exabgp.reload()
        elif chance < 0.60:
            self.exabgp.hung_until[str(router)] = self.now + self.random.choice([0.05, 0.5])
        elif chance < 0.62:
            self.faulty()
        else:
            self.pump(self.random.choice([1, 1, 2, 5, 40]))

    def faulty(self) -> None:
        for peer in self.exabgp.peers.values():
            assert isinstance(peer, StrictPeer)
            peer.is_faulty = True
        if self.random.random() < 0.5:
            self.exabgp.refusals.append(self.random.choice(["at once", "in turn"]))
        else:
            self.exabgp.losses += 1

    def change(self, prefix: Prefix) -> None:
        least = 1 if prefix in STEADY else 0
        hosts = sorted(self.random.sample(range(1, 4), self.random.randint(least, 2)))
        paths = tuple((host, attributes(host, self.random.choice([None, 1]))) for host in hosts)
        for group, found in (("best", tuple((0, best) for _, best in paths[:1])), ("all", paths)):
            if found:
                self.desired[group][prefix] = found
            else:
                self.desired[group].pop(prefix, None)
            self.egress.changed(group, [prefix])

    def flap(self, router: Address) -> None:
        peer = self.exabgp.peers[str(router)]
        if peer.is_up:
            peer.down(keeps_pending=self.random.random() < 0.5)
            self.egress.router_down(router)
        else:
            peer.up()
            self.egress.router_up(router)

    def pump(self, turns: int) -> None:
        for _ in range(turns):
            self.now += 0.01
            for ok in self.exabgp.write(self.commands()):
                self.egress.replied(ok=ok, now=self.now)
            before = {name: len(peer.ended) for name, peer in self.exabgp.peers.items()}
            replies, _ = self.exabgp.run(self.now)
            for ok in replies:
                self.egress.replied(ok=ok, now=self.now)
            for name, peer in self.exabgp.peers.items():
                for family in peer.ended[before[name] :]:
                    self.egress.end_of_rib_sent(Address.parse(name), int(family[3]))

    def commands(self) -> list[bytes]:
        """Return the lines written now. Changes of a router's paths never wait behind new ones."""
        states = self.egress.routers.values()
        new = {state.address: set(state._pending.fresh) for state in states}
        lines = self.egress.commands(self.now)
        for state in states:
            if state._pending.urgent and not new[state.address] <= state._pending.fresh.keys():
                raise WrongError(f"{list(state._pending.urgent)} wait behind new prefixes")
        return lines

    def end(self) -> None:
        self.exabgp.hung_until.clear()
        for router in (BEST, ALL):
            if not self.exabgp.peers[str(router)].is_up:
                self.flap(router)
        for _ in range(200):
            self.pump(5)
            timer = self.egress.next_timer()
            if timer is None and all(state.is_idle for state in self.egress.routers.values()):
                break
            if timer is not None and not self.exabgp.steps:
                self.now = max(self.now, timer)
        self.pump(50)
        for router, group in ((BEST, "best"), (ALL, "all")):
            peer = self.exabgp.peers[str(router)]
            assert set(peer.ended) == {"ipv4 unicast", "ipv6 unicast"}, "an End-of-RIB is missing"
            wanted = {
                (str(prefix), str(Address(IPV4, path_id)) if path_id else ""): str(each.next_hop)
                for prefix, paths in self.desired[group].items()
                for path_id, each in paths
            }
            assert {key: text.split()[0] for key, text in peer.table.items()} == wanted


def found_after(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int] | None:
    """The run and its step that ended wrong; None: none did."""
    for module in (router_module, egress_module):
        monkeypatch.setattr(module, "WINDOW", 3)
    monkeypatch.setattr(egress_module, "LEAST_CHECKS", 1)
    monkeypatch.setattr(router_module, "MAX_UNCONFIRMED", 4)
    for module in (router_module, encode):
        monkeypatch.setattr(module, "BATCH", 2)
    for seed in range(RUNS):
        monkeypatch.setattr(exabgp_model, "STEPS_IN_A_LOOP", (1, 2, 5, 50)[seed % 4])
        monkeypatch.setattr(exabgp_model, "UPDATES_IN_A_LOOP", (1, 25)[seed % 2])
        for module in (router_module, egress_module):
            monkeypatch.setattr(module, "MAX_CHECKS", (4000, 2)[seed // 8 % 2])
        run = Run(seed)
        try:
            run.go()
        except (WrongError, AssertionError):
            return seed, run.steps
    return None


def no_barrier_is_awaited(patch: pytest.MonkeyPatch) -> None:
    """A mistake: a prefix under way is changed again at once, before the barrier."""

    def mark(self: RouterState, prefixes: Any, desired: Any = None) -> None:
        if self.phase is not Phase.DOWN:
            self._pending.urgent.update(dict.fromkeys(prefixes))

    patch.setattr(RouterState, "mark", mark)


def the_barrier_passes_at_once(patch: pytest.MonkeyPatch) -> None:
    written = RouterState.barrier

    def barrier(self: RouterState) -> list[int]:
        families = written(self)
        if families and self.phase is Phase.SETTLED:
            self.barrier_taken()
            self.end_of_rib_sent()
        return families

    patch.setattr(RouterState, "barrier", barrier)


def the_barrier_goes_before_the_changes(patch: pytest.MonkeyPatch) -> None:
    """A mistake: those changes count as confirmed by the barrier all the same."""
    changes = Egress._changes

    def first(self: Egress, now: float) -> list[bytes]:
        lines = [line for state in self.routers.values() for line in self._barrier(state, now)]
        barriers = {state.address: state for state in self.routers.values() if state.is_waiting}
        lines += changes(self)
        for state in barriers.values():
            state._pending.confirming |= state._pending.issued
            state._pending.issued = {}
        return lines

    patch.setattr(Egress, "_all", first)


def withdraws_go_first(patch: pytest.MonkeyPatch) -> None:
    written = Egress._all

    def swapped(self: Egress, now: float) -> list[bytes]:
        return sorted(written(self, now), key=lambda line: b" withdraw " not in line)

    patch.setattr(Egress, "_all", swapped)


def nothing_is_doubted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Pending, "doubt", lambda self, prefix, path_ids: None)


def one_end_of_rib_is_enough(patch: pytest.MonkeyPatch) -> None:
    """A mistake: the End-of-RIB of one family counts for the other."""
    real = RouterState.end_of_rib_sent
    patch.setattr(RouterState, "end_of_rib_sent", lambda self, family=None: real(self))


def an_early_end_of_rib_passes_the_barrier(patch: pytest.MonkeyPatch) -> None:
    """One that is left over counts before ExaBGP has replied."""
    real = RouterState.end_of_rib_sent

    def sent(self: RouterState, family: int | None = None) -> None:
        self.barrier_taken()
        real(self, family)

    patch.setattr(RouterState, "end_of_rib_sent", sent)


def withdraws_share_a_bucket(patch: pytest.MonkeyPatch) -> None:
    """A mistake: the withdraw of one path can leave before the announcement of another."""
    real = RouterState.take

    def take(self: RouterState, *args: Any) -> dict[Batch, list[Prefix]]:
        merged: dict[Batch, list[Prefix]] = {}
        for batch, prefixes in real(self, *args).items():
            merged.setdefault(batch._replace(goes_last=False), []).extend(prefixes)
        return merged

    patch.setattr(RouterState, "take", take)


def new_prefixes_go_first(patch: pytest.MonkeyPatch) -> None:
    """A change of what the router has waits behind a table that is on its way."""
    real = RouterState.take

    def take(
        self: RouterState, desired: Any, room: int, fresh_room: int, checks: int
    ) -> dict[Batch, list[Prefix]]:
        urgent, self._pending.urgent = self._pending.urgent, OrderedDict()
        changes = real(self, desired, room, fresh_room)
        self._pending.urgent = urgent
        room -= len({prefix for prefixes in changes.values() for prefix in prefixes})
        for batch, prefixes in real(self, desired, room, 0).items():
            changes.setdefault(batch, []).extend(prefixes)
        return changes

    patch.setattr(RouterState, "take", take)


MUTANTS: list[Callable[[pytest.MonkeyPatch], None]] = [
    no_barrier_is_awaited,
    the_barrier_passes_at_once,
    the_barrier_goes_before_the_changes,
    withdraws_go_first,
    nothing_is_doubted,
    one_end_of_rib_is_enough,
    an_early_end_of_rib_passes_the_barrier,
    withdraws_share_a_bucket,
    new_prefixes_go_first,
]


def test_no_run_ends_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found_after(monkeypatch) is None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_planted_mistake_is_found(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    found = found_after(monkeypatch)
    print(f"{mutant.__name__}: run {found and found[0]}, step {found and found[1]}")  # noqa: T201
    assert found is not None
