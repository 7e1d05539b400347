"""The command line: what it prints where, and its exit codes."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.places import ROOT

from rsfilter import __version__
from rsfilter.cli import command_line, main
from rsfilter.config.model import Config

MINIMAL = (ROOT / "fixtures" / "config" / "minimal.toml").read_text()
TRUTH = {
    "hosts": [
        {
            "name": "hv1",
            "asn": 4200000005,
            "neighbors": ["198.51.100.101", "10.0.0.1"],
            "prefixes": ["203.0.113.0/28"],
        },
        {"name": "hv2", "asn": 4200000006, "prefixes": ["2001:db8:aa::/64", "203.0.113.16/32"]},
    ],
    "metadata": {"revision": "3f2a1c"},
}
OUTSIDE = (
    "truth host 'hv1': 10.0.0.1 is in no [[hosts]] group; it is not rendered, widen the neighbors "
    "of a group or correct the truth"
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a space in its path, a configuration and a truth."""
    place = tmp_path / "a b"
    place.mkdir()
    (place / "rsfilter.toml").write_text(MINIMAL)
    (place / "truth.json").write_text(json.dumps(TRUTH))
    monkeypatch.chdir(place)
    return place


def usage_error(*argv: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2


# Usage -----------------------------------------------------------------------------------------


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"rsfilter {__version__}\n"


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["frobnicate"],
        ["truth"],
        ["truth", "export", "f", "--format", "xml"],
        ["render", "exabgp"],
        ["render", "exabgp", "-o", "d", "--user", "nobody of this name"],
        ["replay", "--audit", "d"],
        ["explain", "203.0.113.1/32", "--asn", "AS"],
        ["explain", "203.0.113.1/32", "--asn", "4294967296"],
        ["explain", "203.0.113.1/32", "--asn", "9" * 5000],
        ["explain", "203.0.113.1/32", "--asn", "-1"],
    ],
)
def test_wrong_usage_is_two(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    usage_error(*argv)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: rsfilter")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            "check rsfilter.toml",
            "check does not take rsfilter.toml; name the configuration with -c",
        ),
        ("status now", "status does not take now\n"),
        ("--json status", "write --json after the command: rsfilter status --json"),
        ("drain", "required: {on,off}"),
        ("guard", "required: ACTION; there are show, release"),
        ("render", "required: PROGRAM; there are exabgp, alice"),
        ("completion", "required: {bash,zsh,fish}"),
        (
            "explain 203.0.113 --asn 1",
            "invalid prefix or address '203.0.113', such as 203.0.113.0/28",
        ),
        ("explain 203.0.113.1/x --asn 1", "invalid prefix or address '203.0.113.1/x'"),
        ("explain 203.0.113.1 --asn 1 --neighbor hv1", "invalid address 'hv1', such as"),
        ("explain 203.0.113.1 --asn hv1", "invalid ASN 'hv1': write 65001 or AS65001"),
        ("routes hv1", "invalid prefix or address 'hv1'"),
        ("routes --asn ASX", "invalid ASN 'ASX'"),
        ("routes --limit -1", "invalid number '-1': 0 to 999999999"),
        ("guard show --limit 1000000000", "invalid number '1000000000': 0 to 999999999"),
        ("audit query --asn 4294967296", "invalid ASN '4294967296'"),
        ("audit query --asn 000000000009999999999", "invalid ASN '000000000009999999999'"),
        ("audit tail --count x", "invalid number 'x'"),
    ],
)
def test_the_error_of_wrong_usage_has_the_right_one(
    line: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    usage_error(*line.split())
    assert error in capsys.readouterr().err


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for command in ("run", "check", "replay", "explain", "truth", "render"):
        assert f"\n    {command} " in text


def commands(parser: argparse.ArgumentParser, words: str) -> Iterator[tuple[str, str]]:
    """(command, its help) of every command that does something."""
    inside = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not inside:
        yield words, parser.format_help()
    for name, each in inside[0].choices.items() if inside else ():
        yield from commands(each, f"{words} {name}")


COMMANDS = dict(commands(command_line(), "rsfilter"))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_manual_has_every_command(command: str) -> None:
    manual = (ROOT / "docs" / "commands.md").read_text()
    _, first, *last = command.split()
    rows = [line for line in manual.splitlines() if line.startswith(f"| `rsfilter {first}")]
    assert any(all(re.search(rf"\b{word}\b", row) for word in last) for row in rows)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_description(command: str) -> None:
    text = COMMANDS[command]
    _, _, rest = text.partition("\n\n")
    assert not rest.startswith(("positional arguments", "options")), text


# check -----------------------------------------------------------------------------------------


def test_check_prints_what_is_in_force(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "configuration": str(place / "rsfilter.toml"),
        "route_server": {
            "asn": 65100,
            "router_id": "192.0.2.100",
            "local_address": ["192.0.2.100"],
            "port": 179,
        },
        "hosts": [
            {
                "name": "hypervisors",
                "neighbors": ["198.51.100.0/25"],
                "ipv4_lengths": [32],
                "ipv6_lengths": [128],
                "families": ["ipv4"],
                "asn": None,
                "max_prefixes": 1000,
                "max_prefixes_warning": 75,
                "max_prepends": 0,
                "next_hop": "neighbor",
                "not_found": "reject",
                "stale_time": 0,
                "requires": [],
                "password_file": None,
                "ttl_security": 0,
                "truth_addresses": 1,
                "rendered": 1,
            }
        ],
        "routers": [
            {
                "name": "leaves",
                "neighbors": ["192.0.2.10", "192.0.2.11"],
                "asn": 65200,
                "port": 179,
                "families": ["ipv4"],
                "paths": "best",
                "as_path": "transparent",
                "password_file": None,
                "ttl_security": 0,
            }
        ],
        "fanout": None,
        "rtr": None,
        "truth": {
            "file": str(place / "truth.json"),
            "mode": "authoritative",
            "format": "hosts",
            "hosts": 2,
            "unbound_hosts": 1,
            "vrps": 3,
            "filters": 0,
            "revision": "3f2a1c",
            "sha256": hashlib.sha256(json.dumps(TRUTH).encode()).hexdigest(),
            "warnings": [],
        },
        "guard": {"max_loss_percent": 20, "min_loss": 10, "window": 3600},
        "readiness": None,
        "audit": {"directory": str(place / "audit")},
        "http": {
            "listen": "127.0.0.1:8480",
            "socket": "/run/rsfilter/rsfilter.sock",
            "token_file": None,
            "looking_glass": None,
        },
        "fleet": None,
        "warnings": [OUTSIDE],
    }


def test_check_prints_the_same_in_tables(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{place / 'rsfilter.toml'}: ok\n")
    for text in ("65100", "hypervisors", "198.51.100.0/25", "leaves", "192.0.2.11", "3f2a1c"):
        assert text in out
    assert re.search(r"token file\W+none\b", out)
    assert f"warning: {OUTSIDE}\n" in out


def test_check_prints_some_of_very_many_groups(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = '[[hosts]]\nname = "group{0}"\nneighbors = ["203.0.113.{0}"]\nasn = 65001\n'
    (place / "rsfilter.toml").write_text(MINIMAL + "".join(text.format(n) for n in range(24)))
    assert main(["check"]) == 0
    assert "and 5 more groups of hosts: --json has them all\n" in capsys.readouterr().out
    assert main(["check", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["hosts"]) == 25


def test_check_prints_the_files_of_readiness(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = '[readiness]\nready_file = "ready"\ndrain_time = 7\n'
    (place / "rsfilter.toml").write_text(MINIMAL + text)
    assert main(["check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["readiness"] == {
        "ready_file": str(place / "ready"),
        "disable_file": None,
        "drain_time": 7,
    }
    assert main(["check"]) == 0
    assert "drain time" in capsys.readouterr().out


def test_check_shows_the_caches(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rtr = '[rtr]\ncaches = ["192.0.2.50:8282", "[2001:db8::50]:323"]\n'
    (place / "rsfilter.toml").write_text(MINIMAL + rtr)
    assert main(["check"]) == 0
    assert "[2001:db8::50]:323 (tcp)" in capsys.readouterr().out
    assert main(["check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rtr"] == {
        "caches": [
            {"address": "192.0.2.50:8282", "transport": "tcp"},
            {"address": "[2001:db8::50]:323", "transport": "tcp"},
        ],
        "refresh": 60,
        "retry": 10,
        "expire": 3600,
        "on_expire": "hold",
        "startup_wait": 30,
    }


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    "argv",
    [
        ["check"],
        ["run"],
        ["render", "exabgp", "-o", "out"],
        ["replay", "--audit", "d", "x"],
    ],
)
def test_a_bad_configuration_is_two(
    argv: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rsfilter.service", SimpleNamespace(run=None))
    Path("rsfilter.toml").write_text(MINIMAL.replace("65100", "0").replace("65200", '"x"'))
    assert main(argv) == 2
    assert capsys.readouterr() == (
        "",
        "rsfilter.toml: route_server.asn: expected an ASN such as 65001 or AS65001, got 0: "
        "it is reserved (RFC 7607, 6793, 7300)\n"
        'rsfilter.toml: routers[0].asn: expected an ASN such as 65001 or AS65001, got "x"\n',
    )
    assert not Path("out").exists()


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    "argv", [["check"], ["render", "exabgp", "-o", "out"], ["truth", "check", "truth.json"]]
)
def test_a_bad_truth_is_two(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("truth.json").write_text('{"roas": [{"prefix": "10.0.0.0/33", "asn": 1}, 7]}')
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert "truth.json: /roas/0/prefix: " in first
    assert "truth.json: /roas/1: " in second
    assert not Path("out").exists()


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("argv", [["check"], ["render", "exabgp", "-o", "out"]])
def test_a_host_of_our_own_as_is_two(
    argv: list[str], capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    """The truth as such is good: a running filter goes on with it."""
    host = {"name": "hv1", "asn": 65100, "neighbors": ["198.51.100.1"], "prefixes": []}
    own = {"name": "own", "asn": 65100, "prefixes": ["203.0.113.0/24"]}
    (place / "truth.json").write_text(json.dumps({"hosts": [host, own]}))
    assert main(["truth", "check", "truth.json"]) == 0
    capsys.readouterr()
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("truth host 'hv1': AS65100 is our own")


def test_check_reports_what_render_refuses(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "truth.json").write_text('{"roas": [{"prefix": "10.0.0.0/8", "asn": 65001}]}')
    assert main(["check", "--json"]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert "no address of a host is named" in warning
    assert warning.endswith("(rsfilter render refuses this)")
    assert main(["render", "exabgp", "-o", "out"]) == 2


@pytest.mark.usefixtures("place")
def test_a_configuration_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-c", "other.toml"]) == 2
    assert capsys.readouterr() == (
        "",
        "other.toml: No such file or directory; name the file with -c\n",
    )


# truth -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("place")
def test_truth_check_prints_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["truth", "check", "truth.json", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["hosts"], found["vrps"]) == ("hosts", 2, 3)
    assert main(["truth", "check", "truth.json"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("truth.json: ok\n")
    assert "revision: 3f2a1c\n" in out


@pytest.mark.usefixtures("place")
def test_truth_export_prints_the_roas(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["truth", "export", "truth.json", "--format", "stayrtr"]) == 0
    roas = json.loads(capsys.readouterr().out)["roas"]
    assert {(roa["prefix"], roa["maxLength"], roa["asn"]) for roa in roas} == {
        ("203.0.113.0/28", 32, "AS4200000005"),
        ("203.0.113.16/32", 32, "AS4200000006"),
        ("2001:db8:aa::/64", 128, "AS4200000006"),
    }


@pytest.mark.usefixtures("place")
def test_truth_that_cannot_be_exported(capsys: pytest.CaptureFixture[str]) -> None:
    slurm = {
        "slurmVersion": 1,
        "validationOutputFilters": {"prefixFilters": [{"asn": 64496}], "bgpsecFilters": []},
        "locallyAddedAssertions": {"prefixAssertions": [], "bgpsecAssertions": []},
    }
    Path("slurm.json").write_text(json.dumps(slurm))
    assert main(["truth", "export", "slurm.json", "--format", "stayrtr"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("slurm.json: SLURM filters cannot be exported")


# render ----------------------------------------------------------------------------------------


def test_render_writes_what_changes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["render", "exabgp", "-o", "out/exa bgp"]
    conf, env = place / "out/exa bgp/exabgp.conf", place / "out/exa bgp/exabgp.env"
    written = "wrote out/exa bgp/exabgp.conf\nwrote out/exa bgp/exabgp.env\n"
    assert main(argv) == 0
    assert capsys.readouterr() == (written, f"warning: {OUTSIDE}\n")
    assert "neighbor 198.51.100.101 {" in conf.read_text()
    assert f'"run" "-c" "{place}/rsfilter.toml";' in conf.read_text()
    inodes = conf.stat().st_ino, env.stat().st_ino
    assert main(argv) == 0
    assert capsys.readouterr().out == written.replace("wrote", "unchanged")
    assert (conf.stat().st_ino, env.stat().st_ino) == inodes
    moved = json.loads(json.dumps(TRUTH).replace("198.51.100.101", "198.51.100.102"))
    (place / "truth.json").write_text(json.dumps(moved))
    assert main(argv) == 0
    assert capsys.readouterr().out.splitlines() == [
        "wrote out/exa bgp/exabgp.conf",
        "unchanged out/exa bgp/exabgp.env",
        "Reload ExaBGP (SIGUSR1): then it uses exabgp.conf.",
    ]
    assert "neighbor 198.51.100.102 {" in conf.read_text()
    assert sorted(path.name for path in conf.parent.iterdir()) == ["exabgp.conf", "exabgp.env"]


def test_render_prints_that_exabgp_has_to_be_restarted(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ExaBGP reads where it listens when it starts, and never again."""
    assert main(["render", "exabgp", "-o", "."]) == 0
    text = MINIMAL.replace("asn = 65100", "asn = 65100\nport = 1790", 1)
    (place / "rsfilter.toml").write_text(text)
    capsys.readouterr()
    assert main(["render", "exabgp", "-o", "."]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1:] == [
        "wrote exabgp.env",
        "Restart ExaBGP in a quiet hour: only then it uses exabgp.env.",
    ]


def test_what_render_writes_can_be_read_by_the_user_of_exabgp(place: Path) -> None:
    umask = os.umask(0o077)  # as hardened machines have it for root
    try:
        assert main(["render", "exabgp", "-o", "new/out"]) == 0
    finally:
        assert os.umask(umask) == 0o077
    modes = [path.stat().st_mode & 0o777 for path in (place / "new", place / "new/out")]
    assert modes == [0o755, 0o755]
    assert {path.stat().st_mode & 0o777 for path in (place / "new/out").iterdir()} == {0o644}


def test_render_names_a_fanouts_file_that_is_none_any_more(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One fan-out has bird.conf; several have their addresses in the names."""
    for addresses in ('"192.0.2.30"', '"192.0.2.30", "192.0.2.31"'):
        (place / "rsfilter.toml").write_text(f"{MINIMAL}\n[fanout]\naddresses = [{addresses}]\n")
        capsys.readouterr()
        assert main(["render", "exabgp", "-o", "."]) == 0
    err = capsys.readouterr().err.splitlines()
    assert err[-1] == (
        "warning: bird.conf: of another [fanout]; nothing writes it any more, remove it"
    )
    assert (place / "bird.conf").exists()


def test_render_leaves_good_files_when_exabgp_refuses_the_new(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["render", "exabgp", "-o", "."]) == 0
    before = (place / "exabgp.conf").read_bytes()
    (place / "rsfilter.toml").write_text(MINIMAL.replace("65200", "65201"))
    monkeypatch.setattr("rsfilter.render.exabgp.ROUTER_ECHO", "no such thing;")
    capsys.readouterr()
    assert main(["render", "exabgp", "-o", "."]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "ExaBGP refuses what was rendered:\n" in err
    assert 'invalid keyword "no"' in err
    assert (place / "exabgp.conf").read_bytes() == before
    assert not list(place.glob(".render*"))


@pytest.mark.usefixtures("place")
def test_render_into_what_is_no_directory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "exabgp", "-o", "truth.json"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "rsfilter render: truth.json: File exists"


# Dispatch --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("place")
def test_run_and_replay_get_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def called(*args: Any, **kwargs: Any) -> int:
        calls.append((args, kwargs))
        return 7

    monkeypatch.setitem(sys.modules, "rsfilter.service", SimpleNamespace(run=called))
    monkeypatch.setattr("rsfilter.commands.replay.replay", called)
    assert main(["run", "--record", "r"]) == 7
    assert main(["run"]) == 7
    assert main(["replay", "--audit", "d", "--vrps", "v", "l1", "l2"]) == 7
    (run, _), (plain, _), (replay, options) = calls
    assert isinstance(run[0], Config)
    assert run[1] == Path("r")
    assert plain[1] is None
    assert replay[1:] == ([Path("l1"), Path("l2")],)
    assert options == {"audit": Path("d"), "vrps": Path("v")}


@pytest.mark.parametrize("asn", ["65005", "AS65005", "as65005"])
def test_explain_gets_its_arguments(asn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[argparse.Namespace] = []

    def explain(args: argparse.Namespace) -> int:
        seen.append(args)
        return 0

    monkeypatch.setattr("rsfilter.commands.explain.run", explain)
    assert main(["explain", "203.0.113.1/32", "--asn", asn, "--neighbor", "::1", "--json"]) == 0
    (args,) = seen
    assert (args.prefix, args.asn, args.neighbor) == ("203.0.113.1/32", 65005, "::1")
    assert (args.config, args.json) == (None, True)


@pytest.mark.parametrize(
    ("command", "other"),
    [
        *((command, "the filter with --url") for command in ("status -c x", "drain on -c x")),
        *((command, "the log with --directory") for command in ("audit query", "audit verify")),
    ],
)
def test_without_a_configuration_there_is_another_way(
    command: str,
    other: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 2
    name = "x" if "-c x" in command else "rsfilter.toml"
    output = f"{name}: No such file or directory; name the file with -c, or {other}\n"
    assert capsys.readouterr().err == output


def test_the_configuration_of_the_system_is_taken_where_there_is_none(
    capsys: pytest.CaptureFixture[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    monkeypatch.setattr("rsfilter.config.source.SYSTEM_PATH", place / "rsfilter.toml")
    assert main(["check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["configuration"] == str(place / "rsfilter.toml")
    (place / "elsewhere" / "rsfilter.toml").write_text("")
    assert main(["check"]) == 2
    assert capsys.readouterr().err.startswith("rsfilter.toml: ")


@pytest.mark.parametrize(
    "command", ["status", "routes", "drain on", "guard show", "guard release --yes"]
)
def test_without_a_configuration_requests_go_to_the_default_socket(
    command: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rsfilter.commands.client.DEFAULT_SOCKET", tmp_path / "rsfilter.sock")
    assert main(command.split()) == 1
    output = capsys.readouterr().err
    assert f"no filter answers on {tmp_path / 'rsfilter.sock'}" in output
    assert "--url" in output


@pytest.mark.usefixtures("place")
def test_an_interrupt_is_quiet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "rsfilter.service", SimpleNamespace(run=interrupted))
    assert main(["run"]) == 130
    assert capsys.readouterr() == ("", "")
    assert not {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2} & signal.pthread_sigmask(
        signal.SIG_BLOCK, ()
    )


def test_a_reader_that_leaves_is_quiet(place: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [sys.executable, "-m", "rsfilter", "check"],
        stdout=writing,
        stderr=subprocess.PIPE,
        cwd=place,
        env=environment,
        check=False,
    )
    os.close(writing)
    assert (run.returncode, run.stderr) == (1, b"")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_every_command(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "rsfilter" in script
    for command in ("explain", "impact", "drain", "verify"):
        assert command in script


# Errors for people, and for programs -------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("statsu", "there is no 'statsu'; did you mean status?"),
        ("audit qurey", "there is no 'qurey'; did you mean query?"),
        ("routes --reason origin_invalid_asm", "did you mean origin_invalid_asn?"),
        ("routes --verdct=held", "routes does not take --verdct=held; did you mean --verdict?"),
        ("routes --verdict hold", "there is no 'hold'; did you mean held?"),
        (
            "routes 203.0.113.5/24",
            "has host bits set; the network is 203.0.113.0/24, the address 203.0.113.5",
        ),
        ("routes 203.0.113.5/33", "has an impossible length"),
        ("help sttus", "did you mean status?"),
        ("nosuch", "there is no 'nosuch'; rsfilter help lists the commands"),
        ("audit query nosuch", "invalid prefix or address 'nosuch', such as"),
        ("-c rsfilter.toml status", "options follow the command: rsfilter status -c FILE"),
        ("--url http://127.0.0.1:8480 status", "options follow the command"),
    ],
)
def test_the_error_of_a_mistyped_word_has_the_one_that_was_meant(
    line: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    usage_error(*line.split())
    assert error in capsys.readouterr().err


def test_errors_are_json_where_json_is_wanted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rsfilter.toml").write_text("x = 1\n")
    assert main(["check", "--json"]) == 2
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["error"], err) == ("invalid", "")
    assert "rsfilter.toml: x: unknown key" in found["problems"][0]
    assert main(["status", "--json", "--url", "127.0.0.1:1"]) == 1
    out, err = capsys.readouterr()
    assert "no filter answers on http://127.0.0.1:1" in json.loads(out)["detail"]
    assert main(["audit", "query", "--json", "--since", "1h", "--until", "2h"]) == 2
    assert "--since is not before --until" in json.loads(capsys.readouterr().out)["detail"]


def test_help_and_version_are_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "audit", "query"]) == 0
    assert capsys.readouterr().out.startswith("usage: rsfilter audit query")
    assert main(["help"]) == 0
    assert "status" in capsys.readouterr().out
    assert main(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": __version__}


def test_fish_completes_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fish"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("complete -c rsfilter ") for line in lines)
    assert any("-a neighbors" in line for line in lines)
    assert any("'__fish_seen_subcommand_from status' -l quiet" in line for line in lines)
    assert any("-l verdict -r -f -a 'accepted rejected held'" in line for line in lines)


@pytest.mark.parametrize("silent", ["accepts", "answers"])
def test_patience_with_a_silent_server_has_an_end(
    silent: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes the connection, or the request, and sends nothing."""
    monkeypatch.setattr("rsfilter.commands.client.TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        if silent == "answers":
            taken: list[object] = []
            take = threading.Thread(target=lambda: taken.append(server.accept()), daemon=True)
            take.start()
        port = server.getsockname()[1]
        assert main(["status", "--url", f"127.0.0.1:{port}"]) == 1
    assert "no answer within" in capsys.readouterr().err


def test_truth_diff_prints_what_is_added_removed_and_moved(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def write(name: str, **owned: tuple[int, str, list[str]]) -> str:
        hosts = [
            {"name": host, "asn": asn, "neighbors": [at], "prefixes": prefixes}
            for host, (asn, at, prefixes) in owned.items()
        ]
        path = tmp_path / name
        path.write_text(json.dumps({"hosts": hosts, "metadata": {"revision": name}}))
        return str(path)

    old = write(
        "r1",
        hv1=(65001, "198.51.100.1", ["203.0.113.0/32", "203.0.113.4/32"]),
        hv2=(65002, "198.51.100.2", []),
        hv3=(65003, "198.51.100.3", []),
    )
    new = write(
        "r2",
        hv1=(65001, "198.51.100.1", ["203.0.113.0/32", "203.0.113.8/32", "203.0.113.9/32"]),
        hv2=(65002, "198.51.100.22", ["203.0.113.4/32"]),
    )
    assert main(["truth", "diff", old, new, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["added"] == [
        {"prefix": "203.0.113.8/31", "max_length": 32, "asn": 65001},
        {"prefix": "203.0.113.4/32", "max_length": 32, "asn": 65002},
    ]
    assert found["removed"] == [{"prefix": "203.0.113.4/32", "max_length": 32, "asn": 65001}]
    assert found["moved"] == [{"prefix": "203.0.113.4/32", "was": 65001, "is": 65002}]
    assert (found["hosts_added"], found["hosts_removed"]) == ([], ["hv3"])
    assert [each["host"] for each in found["hosts_changed"]] == ["hv2"]
    assert main(["truth", "diff", old, new]) == 0
    table = capsys.readouterr().out
    assert "revision r1 (2 VRPs) -> revision r2 (4 VRPs)" in table
    assert "AS65001 -> AS65002" in table
    assert main(["truth", "diff", old, old]) == 0
    assert capsys.readouterr().err == "These truths do not differ.\n"
