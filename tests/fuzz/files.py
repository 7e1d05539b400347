"""Targets `truth`, `slurm` and `config`: files of foreign origin."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fuzz import commands, site
from fuzz.oracle import is_removed
from fuzz.text import assert_plain, assert_problems, loads
from rsfilter.audit.record import ServiceEvent
from rsfilter.commands.check import print_report, report
from rsfilter.commands.errors import CommandError
from rsfilter.commands.replay import replay
from rsfilter.config.build import parse_config
from rsfilter.config.model import Config, ConfigError
from rsfilter.config.passwords import Passwords, password_files
from rsfilter.edge import guard_file
from rsfilter.pipeline.data import Sources
from rsfilter.pipeline.inputs import Input, Lines, Moment, RtrGone, RtrRead, TruthRead
from rsfilter.pipeline.recording import encode
from rsfilter.render.exabgp import RenderError, render
from rsfilter.routing.events import DrainRequested, GuardReleased, GuardRestored
from rsfilter.routing.guard import Expected
from rsfilter.routing.model import BITS, Address, Prefix, RouteKey, Vrp
from rsfilter.rpki.document import MAX_PROBLEMS
from rsfilter.rpki.truth import Truth, TruthError, parse_truth, truth_export
from rsfilter.rpki.vrps import RtrSnapshot, VrpSet
from rsfilter.util.text import clean

FIXTURES = Path(__file__).parents[2] / "fixtures"

NOW = 1.7e9
"""2023-11-14: some entries of the fixtures have expired by then, others not."""

SAMPLE = [
    Vrp(Prefix.parse(prefix), length, asn)
    for prefix, length in (
        ("192.0.2.0/24", 24), ("192.0.2.0/25", 32), ("198.51.100.7/32", 32), ("0.0.0.0/0", 0),
        ("2001:db8::/32", 48), ("2001:db8:1::/48", 128), ("::/0", 128),
    )
    for asn in (0, 64496, 64497, 65005)
]  # fmt: skip
"""Prefixes with which SLURM's filters are tried."""


# Truth and SLURM ---------------------------------------------------------------------------------


def check_truth(content: bytes) -> None:
    """A truth file is used as an independent reader understands it, or refused in plain words."""
    truth = _parse(content)
    if truth is None:
        return
    document = loads(content.removeprefix(b"\xef\xbb\xbf"))
    assert isinstance(document, dict), "accepted, although nobody else can read it"
    _check_vrps(truth, document)
    assert_plain(truth.revision, "the revision")
    for name, value in truth.metadata.items():
        assert_plain(name + value, "metadata")
        assert max(len(name), len(value)) <= 200
    assert_problems(map(str, truth.warnings), "a warning")
    for host in truth.hosts:
        assert_plain(host.name, "a host's name")
        assert 0 < host.asn < 1 << 32
    _check_uses(truth)


def _parse(content: bytes) -> Truth | None:
    try:
        return parse_truth(content, "truth.json", NOW)
    except TruthError as error:
        refused, text = tuple(map(str, error.problems)), str(error)
    assert 1 <= len(refused) <= MAX_PROBLEMS + 1
    assert text == "\n".join(refused)
    assert_problems(refused, "a problem")
    return None


def _check_vrps(truth: Truth, document: dict[str, Any]) -> None:
    """The VRPs are those that a naive reader finds, and each can be one."""
    for vrp in truth.vrps:
        network = ip_network(str(vrp.prefix))
        assert network.prefixlen <= vrp.max_length <= network.max_prefixlen, vrp
        assert 0 <= vrp.asn < 1 << 32, vrp
    read = _READERS[next(name for name in _READERS if name in document)]
    found = {
        f"{ip_network(str(vrp.prefix))}-{vrp.max_length} AS{vrp.asn}"  # each Python spells its own
        for vrp in truth.vrps
    }
    assert found == {f"{p}-{length} AS{asn}" for p, length, asn in read(document)}


def _naive_roas(document: dict[str, Any]) -> Iterable[tuple[str, int, int]]:
    for entry in document.get("roas", document.get("vrps")):
        if entry.get("expires", NOW) >= NOW:
            network = ip_network(entry["prefix"])
            asn = int(str(entry["asn"]).upper().removeprefix("AS"))
            yield str(network), entry.get("maxLength", network.prefixlen), asn


def _naive_hosts(document: dict[str, Any]) -> Iterable[tuple[str, int, int]]:
    for host in document["hosts"]:
        for entry in host["prefixes"]:
            given = entry if isinstance(entry, dict) else {"prefix": entry}
            network = ip_network(given["prefix"])
            longest = given.get("max_length", network.max_prefixlen)
            yield str(network), longest, int(str(host["asn"]).upper().removeprefix("AS"))


def _naive_slurm(document: dict[str, Any]) -> Iterable[tuple[str, int, int]]:
    for entry in document.get("locallyAddedAssertions", {}).get("prefixAssertions", ()):
        network = ip_network(entry["prefix"])
        yield str(network), entry.get("maxPrefixLength", network.prefixlen), entry["asn"]


_READERS = {
    "hosts": _naive_hosts,
    "roas": _naive_roas,
    "vrps": _naive_roas,
    "slurmVersion": _naive_slurm,
}


def _check_uses(truth: Truth) -> None:
    """Require that results of a truth agree: events, an export of the same data, ExaBGP's
    configuration."""
    event = Sources.of(site.CONFIGS[0]).truth_loaded(truth)
    assert event is not None
    assert_plain(event.detail, "the detail of a data change")
    if not truth.filters:
        exported = truth_export(truth, "stayrtr")
        assert parse_truth(exported, "exported", NOW).vrps == truth.vrps
        for line in exported.decode("ascii").split("\n"):
            assert_plain(line, "the export")
    _check_rendered(site.CONFIGS[0], truth)


def _check_rendered(config: Config, truth: Truth | None) -> None:
    try:
        passwords = dict.fromkeys(password_files(config), Passwords("secret"))
        rendered = render(config, truth, ("/usr/bin/rsfilter",), "nobody", passwords)
    except RenderError as error:
        assert_problems(error.problems, "a problem of render")
        return
    assert_problems(rendered.warnings, "a warning of render")
    for text in rendered.files.values():
        for line in text.split("\n"):
            assert_plain(line, "a rendered file")
    _check_report(config, truth)


def _check_report(config: Config, truth: Truth | None) -> None:
    found = report(config, truth)
    json.dumps(found)
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        print_report(found)
    for line in shown.getvalue().split("\n"):
        assert_plain(line, "the output of check")


def check_slurm(content: bytes) -> None:
    """Check as `check_truth` does; the filters remove what RFC 8416 requires, no more and no
    less."""
    check_truth(content)
    truth = _parse(content)
    if truth is not None:
        left = truth.filter_rtr(VrpSet.of(SAMPLE))
        want = [vrp for vrp in SAMPLE if not is_removed(vrp, truth.filters)]
        assert {*left} == {*want}, truth.filters
        assert all(
            f.prefix is None or f.prefix.length <= BITS[f.prefix.family] for f in truth.filters
        )


def truth_seeds() -> Iterable[bytes]:
    """Every truth file there is, good and bad."""
    yield from (path.read_bytes() for path in sorted(FIXTURES.glob("truth/*/*.json")))
    yield from site.TRUTHS


def slurm_seeds() -> Iterable[bytes]:
    yield from (path.read_bytes() for path in sorted(FIXTURES.glob("truth/*/slurm*.json")))
    yield site.TRUTHS[3]
    part = {"asn": 64496, "prefix": "192.0.2.0/24", "comment": "x"}
    for filters in ([part], [{"prefix": "2001:db8::/32"}, {"asn": 64497}]):
        for assertions in ([], [{**part, "maxPrefixLength": 32}]):
            yield json.dumps(
                {
                    "slurmVersion": 1,
                    "validationOutputFilters": {"prefixFilters": filters, "bgpsecFilters": []},
                    "locallyAddedAssertions": {
                        "prefixAssertions": assertions,
                        "bgpsecAssertions": [],
                    },
                }
            ).encode()


# What rsfilter wrote itself ----------------------------------------------------------------------


def check_recording(content: bytes) -> None:
    """A recording is replayed, or refused with the place. Its commands are good ones."""
    with TemporaryDirectory(prefix="rsfilter-fuzz-") as name:
        path, out = Path(name, "recording"), io.BytesIO()
        path.write_bytes(content)
        note = io.StringIO()
        try:
            with contextlib.redirect_stderr(note), contextlib.suppress(TruthError, ConfigError):
                replay(site.CONFIGS[1], [path], audit=Path(name, "audit"), commands=out)
        except CommandError as error:
            note.write(clean(str(error)))
        assert_problems(note.getvalue().split("\n"), "a note")
        for line in out.getvalue().splitlines(keepends=True):
            commands.read(line)


def recording_seeds() -> Iterable[bytes]:
    """One turn of every kind, as they are written."""
    moment, prefix = Moment(12.5, NOW), Prefix.parse("192.0.2.1/32")
    snapshot = RtrSnapshot(VrpSet.of(SAMPLE), "192.0.2.50:8282", 7, 1, 12.0)
    key = RouteKey(Address.parse("127.10.1.1"), prefix, 0)
    life = [
        site.state("127.10.2.1", 65200, "up"),
        site.update("127.10.1.1", 65005, ["192.0.2.1/32"]),
    ]
    truth = site.TRUTHS[0]
    inputs: list[Input] = [
        ServiceEvent("start", {"configuration": "x"}),
        GuardRestored(
            {key: Expected("0123", "4567", ("origin_not_found",))},
            {key: Expected("0123", "4567")},
            {key: 12.5},
        ),
        TruthRead(parse_truth(truth, "truth.json", 1.0), truth, "truth.json", 1.0),
        RtrRead(snapshot, "fresh"),
        Lines([*life, b"done", b"exabgp 5.0.15", b"\xff"]),
        RtrGone("expired"),
        GuardReleased("SIGUSR2"),
        DrainRequested("operator", True, "x"),
        Lines([]),
    ]
    turns = [encode(moment, each) for each in inputs]
    yield b"".join(turns)
    yield from turns


def check_guard(content: bytes) -> None:
    """Require that the state of the guard of an earlier process is read, or refused with the
    reason."""
    with TemporaryDirectory(prefix="rsfilter-fuzz-") as name:
        path = Path(name, guard_file.NAME)
        path.write_bytes(_with_checksums(content))
        path.chmod(0o600)
        found = guard_file.load(path, WRITTEN_AT)
        for key, text in (found.held | found.accepted).items():
            assert isinstance(text.fingerprint, str), text
            assert str(key.prefix), key
        assert all(age >= 0 for age in found.lost.values()), found.lost
        file = guard_file.GuardFile(path, found, WRITTEN_AT)
        file.write({}, WRITTEN_AT, 0.0)
        assert guard_file.load(path, WRITTEN_AT) == found


WRITTEN_AT = 1.7e9


def _with_checksums(content: bytes) -> bytes:
    """`=` alone stands for the end of a batch: mutation would never find its checksum."""
    digest, lines = hashlib.sha256(), []
    for line in content.split(b"\n"):
        end = b"= %.3f" % WRITTEN_AT
        text = end if line == b"=" else line + b"\n"
        digest.update(text)
        lines.append(text + b" " + digest.hexdigest().encode() + b"\n" if line == b"=" else text)
    return b"".join(lines)


def guard_seeds() -> Iterable[bytes]:
    where = b"198.51.100.7 203.0.113.1/32 0 "
    found = b"0123456789abcdef 0123"
    accepted, held = b"a " + found, b"h " + found + b" origin_not_found"
    lines = [where + tail for tail in (accepted, held, b"l 1699999990.5", b"-")]
    for number in range(len(lines)):
        some = b"\n".join(lines[: number + 1])
        yield guard_file.HEADER + some + b"\n=\n"
        yield guard_file.HEADER + lines[0] + b"\n=\n" + some + b"\n"


# Configuration -----------------------------------------------------------------------------------


def check_config(content: bytes) -> None:
    """Require that a configuration is whole and renders, or every problem is reported in plain
    words."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return  # `load_config` reports it before it reads the text
    try:
        config = parse_config(text, Path("/site/rsfilter.toml"))
    except ConfigError as error:
        refused = error.problems
    else:
        _check_parsed(config, text)
        return
    assert refused, "refused without a word"
    assert_problems(refused, "a problem")


def _check_parsed(config: Config, text: str) -> None:
    assert parse_config(text, Path("/site/rsfilter.toml")) == config
    assert config.hosts
    assert config.routers
    assert config.rtr or config.truth
    _check_rendered(config, None)
    _check_report(config, None)


def config_seeds() -> Iterable[bytes]:
    """The example of the manual, and the fixtures."""
    paths = [*FIXTURES.glob("config/*.toml"), *FIXTURES.parent.glob("docs/*.toml")]
    yield from (path.read_bytes() for path in sorted(paths))


TOML_LINES = [
    *{line for seed in config_seeds() for line in seed.split(b"\n") if line.strip()},
    *(b'name = "%s"' % text.encode("unicode_escape") for text in ("\x1b[31m", "\x7f", "a b")),
    b'"\\u001b[31m" = 1',
    b'file = "\\u001b[31m.json"',
    b'directory = "\\u202e"',
    b"asn = 0x" + b"f" * 40,
    b"asn = " + b"9" * 40,
    b"asn = -1",
    b"asn = 1e400",
    b"asn = inf",
    b"port = 1979-05-27T07:32:00Z",
    b"x.y.z = [[], {a = {}}]",
]
