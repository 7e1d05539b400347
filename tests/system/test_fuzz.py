"""The fuzzed promises, kept in the ordinary suite: every seed, and every finding of earlier runs.

`make fuzz` searches for new ones; its findings go into fixtures/fuzz/TARGET (CONTRIBUTING.md).
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from fuzz import commands, run, site, trail, world
from fuzz.targets import TARGETS
from fuzz.text import assert_plain
from msgspec.structs import replace
from support.places import ROOT

FOUND = sorted(ROOT.glob("fixtures/fuzz/*/*"))


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_keeps_its_promises(name: str) -> None:
    target = TARGETS[name]
    seeds = list(target.seeds())
    assert len(seeds) >= 4
    for seed in seeds:
        target.check(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_of_seeds_keep_their_promises(name: str) -> None:
    """A taste of what `make fuzz` does for minutes; and mutations never fail themselves."""
    target, random = TARGETS[name], Random(1)
    seeds = sorted(target.seeds(), key=len)[:40]
    changed = 0
    for _ in range(60):
        data = random.choice(seeds)
        for _ in range(3):
            data = random.choice(target.mutations)(data, random) or data
        if len(data) <= target.max_octets:
            target.check(data)
            changed += data not in seeds
    assert changed > 10


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once_stays_away(path: Path) -> None:
    TARGETS[path.parent.name].check(path.read_bytes())


# The fuzzers can fail ----------------------------------------------------------------------------

GOOD = (
    b"neighbor 127.10.2.1 , neighbor 127.10.2.2 announce attributes next-hop 127.10.1.1 "
    b"as-path [ 65005 ] origin igp med 5 path-information 0.0.0.7 nlri 192.0.2.1/32\n"
)


def test_a_good_command_is_understood() -> None:
    assert commands.read(GOOD) == commands.Command(
        "announce",
        ("127.10.2.1", "127.10.2.2"),
        (("192.0.2.1/32", "0.0.0.7"),),
        "next-hop 127.10.1.1 as-path [ 65005 ] origin igp med 5",
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\n", b""),
        (b"\n", b"\nneighbor * shutdown\n"),
        (b"neighbor 127.10.2.1 , neighbor 127.10.2.2 ", b""),
        (b"127.10.2.2", b"*"),
        (b"192.0.2.1/32", b"192.0.2.1/33"),
        (b"192.0.2.1/32", b"192.0.2.1/24"),
        (b"192.0.2.1/32", b"192.0.2.1/32 192.0.2.1/32"),
        (b"192.0.2.1/32", b"192.0.2.1/32 2001:db8::1/128"),
        (b"192.0.2.1/32", b"192.0.2.1/32 json"),
        (b"192.0.2.1/32", "192.0.2.1/32é".encode()),
        (b" med 5", b" med 4294967296"),
        (b" med 5", b" med 5 community [ 65536:1 ]"),
        (b"next-hop 127.10.1.1 ", b""),
        (b"65005", b"65005 4294967296"),
        (b"0.0.0.7", b"0.0.0.256"),
        (b"127.10.1.1", b"127.10.1.256"),
    ],
)
def test_a_bad_command_is_not(old: bytes, new: bytes) -> None:
    with pytest.raises((AssertionError, ValueError)):
        commands.read(GOOD.replace(old, new))


def test_a_wrong_accept_is_noticed() -> None:
    script = [
        b"@truth " + site.TRUTHS[1],
        site.state("127.10.1.1", 65005, "up"),
        site.update("127.10.1.1", 65005, ["192.0.2.1/32"]),
    ]
    end = world.run(b"\n".join(script))
    (entry,) = end.filter.engine.rib_in.entries()
    assert entry.is_accepted
    other = replace(entry.route.announcement, asn=65006)
    entry.route = replace(entry.route, announcement=other)
    with pytest.raises(AssertionError, match="accepted"):
        end.turn()


def test_a_router_with_a_wrong_table_is_noticed() -> None:
    script = [
        b"@truth " + site.TRUTHS[1],
        site.state(site.ROUTERS[0], 65200, "up"),
        site.state("127.10.1.1", 65005, "up"),
        site.update("127.10.1.1", 65005, ["192.0.2.1/32"]),
    ]
    end = world.run(b"\n".join(script))
    (table,) = (table for router, table in end.tables.items() if str(router) == site.ROUTERS[0])
    assert [*table] == [("192.0.2.1/32", "")]
    table.clear()
    with pytest.raises(AssertionError, match="should have"):
        end.settle()


def test_audit_lines_that_differ_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    end = world.run(site.state("127.10.1.1", 65005, "up"))
    assert len(trail.check_lines(end.audit)) == 1
    monkeypatch.setattr(trail, "body", lambda event: b'"event":"x"')
    with pytest.raises(AssertionError, match="differs"):
        trail.check_lines(end.audit)


@pytest.mark.parametrize("text", ["\x1b[31m", "\x7f", "\u202e", "\ud800", "a\nb", "\x00", "\u2028"])
def test_what_a_terminal_obeys_is_not_plain(text: str) -> None:
    with pytest.raises(AssertionError):
        assert_plain(text, "it")


def test_a_finding_is_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in (("decode", b"nonsense"), ("truth", json.dumps({}).encode())):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "0123"
        path.write_bytes(content)
        assert run.main(["--replay", str(path)]) == 0
        assert "no finding" in capsys.readouterr().out
