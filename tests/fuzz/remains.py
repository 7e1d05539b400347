"""The targets `remains`, `neighbors` and `body`: what a process before this one left, what ExaBGP
shows of neighbors to a new one, and what clients send to be judged."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fuzz import engine, files, site
from fuzz.text import assert_plain, loads
from rsfilter.edge import drain_file, guard_file, unsettled_file
from rsfilter.exabgp import capabilities
from rsfilter.exabgp.unsettled import SETTLED
from rsfilter.pipeline.data import Sources
from rsfilter.routing.model import BITS
from rsfilter.web import impact_worker
from rsfilter.web.frames import END, frame, frames

# What a process before this one left --------------------------------------------------------------


def check_remains(content: bytes) -> None:
    """Require that each small file of a process is read, or of no use; a file written from it is
    read as the same, and is removed once it would be empty."""
    with TemporaryDirectory(prefix="rsfilter-fuzz-") as name:
        _check_unsettled(Path(name, unsettled_file.NAME), content)
        _check_drain(Path(name, drain_file.NAME), content)
        _check_held_of_0_1(Path(name), content)


def _check_unsettled(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    found = unsettled_file.load(path)
    unsettled_file.write(path, found)
    assert unsettled_file.load(path) == found
    assert path.exists() == (found != SETTLED)
    unsettled_file.write(path, SETTLED)
    assert not path.exists()


def _check_drain(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    by = drain_file.load(path)
    assert by is not None, "a file that is ours counts, whatever it says"
    assert_plain(by, "who drains")
    assert len(by) <= drain_file.MAX_TEXT
    drain_file.write(path, by)
    assert drain_file.load(path) == by
    drain_file.write(path, None)
    assert drain_file.load(path) is None


def _check_held_of_0_1(directory: Path, content: bytes) -> None:
    old = directory / guard_file.NAME_0_1
    old.write_bytes(content)
    old.chmod(0o600)
    now = old.stat().st_mtime
    found = guard_file.load(directory / guard_file.NAME, now)
    for key in found.held:
        assert 0 <= key.prefix.length <= BITS[key.prefix.family]
    file = guard_file.GuardFile(directory / guard_file.NAME, found, now)
    file.write({}, now, 0.0)
    assert guard_file.load(directory / guard_file.NAME, now).held == found.held


def remains_seeds() -> Iterable[bytes]:
    yield json.dumps({"routers": ["127.10.2.1", "2001:db8:f::2"], "hosts": []}).encode()
    yield json.dumps({"routers": [], "hosts": ["127.10.1.1"]}).encode()
    yield b'{"by": "alice at rs1"}'
    yield b'["+", "198.51.100.7", "203.0.113.1/32", 0, "0123456789abcdef"]\n'
    yield (
        b'["+", "198.51.100.7", "203.0.113.1/32", 0, "0123"]\n'
        b'["-", "198.51.100.7", "203.0.113.1/32", 0]\n'
    )


# What ExaBGP shows of neighbors -------------------------------------------------------------------


def check_neighbors(content: bytes) -> None:
    """Require that only hosts that have offered it are requested to repeat themselves, that a
    session is up only when ExaBGP has reported it, and that all values are bounded."""
    text = content.decode("utf-8", "surrogateescape")
    try:
        found = list(capabilities.shown(text))
    except ValueError:
        return
    reported = json.loads(text)
    assert len(found) == len(reported)
    for shown, entry in zip(found, reported, strict=True):
        assert str(shown.neighbor)
        if shown.session is None:
            continue
        assert entry["fsm"].upper() == "ESTABLISHED"
        opened = shown.session.opened
        assert shown.session.asn == entry["peer"]["as"]
        assert opened.families | opened.add_path <= {4, 6}
        offers = [
            entry[side].get("capabilities", {}).get("route-refresh") for side in ("local", "peer")
        ]
        assert opened.offers_refresh == (offers == [True, True])
        for family in opened.families:
            assert entry["peer"]["families"][f"ipv{family} unicast"] is True


def neighbors_seeds() -> Iterable[bytes]:
    neighbors = [*((router, 65200) for router in site.ROUTERS), *engine.HOSTS]
    for state in ("ESTABLISHED", "IDLE", "established"):
        yield site.shown([(address, asn, state) for address, asn in neighbors])
    yield site.shown([])
    for offers in (None, True, False):
        side: dict[str, Any] = {
            "capabilities": {"route-refresh": offers, "add-path": True},
            "families": {"ipv4 unicast": True, "ipv6 unicast": offers},
            "add-path": {"ipv4 unicast": offers},
        }
        both = {
            "local": {"address": "127.10.0.100", "as": 65100, **side},
            "peer": {"address": "127.10.1.1", "as": 65005, **side},
        }
        yield json.dumps([{"duration": 3, "fsm": "ESTABLISHED", **both}]).encode()


# What clients send --------------------------------------------------------------------------------

_CONFIG = site.CONFIGS[0]


def check_body(content: bytes) -> None:
    """Require that a body of `POST /api/v1/impact` is judged, or refused with a reason, in the
    words that the worker's own process uses; no content ends the worker without an answer."""
    answers = _worker_reports(content)
    outcome = json.loads(answers[0])
    assert outcome["status"] in (200, 413, 422)
    if outcome["status"] != 200:
        assert len(answers) == 1
        assert outcome["error"] in ("too_large", "truth_invalid")
        for line in outcome["detail"].split("\n"):
            assert_plain(line, "a refusal")
        return
    assert isinstance(loads(content.removeprefix(b"\xef\xbb\xbf")), dict)
    impact = json.loads(answers[1])
    assert impact["truth"]["format"] in ("roas", "slurm", "hosts")


def _worker_reports(content: bytes) -> list[bytes]:
    sources = Sources.of(_CONFIG).to_be_filled()
    in_force = impact_worker.InForce(
        hosts=_CONFIG.hosts,
        routers=_CONFIG.routers,
        limits=_CONFIG.guard.limits,
        lost=0,
        sources=sources,
        truth_may_be_empty=_CONFIG.truth_may_be_empty,
    )
    body = frame(content) if content else b""
    pipe = io.BytesIO(frame(pickle.dumps(in_force)) + END + body + END + END + END + END)
    answer = io.BytesIO()
    impact_worker.work(pipe, answer)
    return list(frames(io.BytesIO(answer.getvalue() + END)))


def body_seeds() -> Iterable[bytes]:
    yield from files.truth_seeds()
    yield from files.slurm_seeds()
    yield b'{"roas":[' + b"[" * 20 + b"]" * 20 + b"]}"
