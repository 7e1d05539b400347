"""`rsfilter init`: what it writes is good as it stands, and no file is ever replaced."""

from __future__ import annotations

import io
import sys
from itertools import chain
from pathlib import Path

import pytest

from rsfilter.cli import main
from rsfilter.config.build import load_config
from rsfilter.config.model import Config
from rsfilter.edge.truth_file import load_truth

SITE = {
    "--asn": "AS65100",
    "--address": "192.0.2.100",
    "--hosts-from": "198.51.100.0/25",
    "--router": "192.0.2.10 192.0.2.11",
    "--router-asn": "65200",
    "--host": "hv1,65001,198.51.100.1,203.0.113.1,203.0.113.4/30",
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory. stdin is no terminal."""
    place = tmp_path / "a b"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return place


def init(*more: str, **changed: str | None) -> int:
    """The exit code, with the options of the site. None leaves an option out."""
    options = SITE | {"--" + name.replace("_", "-"): value for name, value in changed.items()}
    words = [f"{name} {value}".split() for name, value in options.items() if value is not None]
    return main(["init", *chain.from_iterable(words), *more])


def written(place: Path) -> Config:
    """The configuration, which `check` accepts."""
    path = place / "rsfilter.toml"
    assert main(["check", "-c", str(path)]) == 0
    return load_config(path)


def test_what_is_written_is_the_site(place: Path) -> None:
    assert init() == 0
    config = written(place)
    assert config.route_server.asn == 65100
    assert str(config.route_server.router_id) == "192.0.2.100"
    assert [str(network) for network in config.hosts[0].networks] == ["198.51.100.0/25"]
    assert [str(router) for router in config.routers[0].neighbors] == ["192.0.2.10", "192.0.2.11"]
    assert (config.rtr, config.audit.directory) == (None, place / "audit")
    (host,) = load_truth(place / "truth.json").hosts
    assert (host.name, host.asn, list(map(str, host.neighbors))) == ("hv1", 65001, ["198.51.100.1"])


@pytest.mark.parametrize(
    "changed",
    [
        {"cache": "192.0.2.50:8282 [2001:db8::50]:8282"},
        {"address": "192.0.2.100 2001:db8::100", "hosts_from": "198.51.100.0/25 2001:db8:1::/64"},
        {"address": "2001:db8::100", "router_id": "192.0.2.1", "hosts_from": "2001:db8:1::/64"}
        | {"router": "2001:db8::10", "host": "hv1,65001,2001:db8:1::1,2001:db8:2::/64"},
        {"hosts_from": "198.51.100.1"},
        {"listen": "127.0.0.1:8490"},
    ],
    ids=str,
)
def test_check_accepts_every_kind_of_site(place: Path, changed: dict[str, str]) -> None:
    assert init(**changed) == 0
    written(place)


def test_caches_alone_need_no_truth(place: Path) -> None:
    assert init(cache="192.0.2.50:8282", host=None) == 0
    assert written(place).truth is None
    assert not (place / "truth.json").exists()


def test_an_instance_has_its_own_places(place: Path) -> None:
    assert init("--instance", "rs2", "--listen", "127.0.0.1:8481", "-o", "etc/rs2") == 0
    config = written(place / "etc" / "rs2")
    assert str(config.http.socket) == "/run/rsfilter-rs2/rsfilter.sock"
    assert (str(config.http.listen), config.route_server.name) == ("127.0.0.1:8481", "rs2")


@pytest.mark.parametrize("name", ["rsfilter.toml", "truth.json"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_nothing_is_replaced(
    place: Path, name: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link too, even one that leads nowhere."""
    if kind == "file":
        (place / name).write_text("mine")
    else:
        (place / name).symlink_to("nowhere")
    before = sorted(path.name for path in place.iterdir())
    assert init() == 1
    assert f"{name} exists" in capsys.readouterr().err
    assert sorted(path.name for path in place.iterdir()) == before
    assert kind == "link" or (place / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"asn": None, "host": None}, "missing: --asn, --host or --cache"),
        ({"address": "2001:db8::100"}, "missing: --router-id"),
        ({"host": "hv1,65100,198.51.100.1,203.0.113.1"}, "our"),
        ({"address": "224.0.0.1"}, "no BGP session can have it"),
        ({"router": "198.51.100.1"}, "198.51.100.1"),
        ({"cache": "no-port"}, "rtr.caches[0]"),
        ({"host": 'h",65001,198.51.100.1,203.0.113.1'}, None),
    ],
    ids=str,
)
def test_a_bad_site_writes_nothing(
    place: Path,
    changed: dict[str, str | None],
    problem: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = init(**changed)
    if problem is None:  # quotes are data like any other
        assert code == 0
        written(place)
        return
    assert code == 2
    assert problem in capsys.readouterr().err
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "a b", "a@b", "a%b", "", "x" * 33])
def test_an_instance_is_a_plain_name(place: Path, name: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["init", "--instance", name])
    assert caught.value.code == 2
    assert list(place.iterdir()) == []


class _Terminal(io.StringIO):
    """Answers of an operator, good and bad."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_answers_what_no_option_gives(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = ["", "x", "65100", "198.51.100.0/25", "192.0.2.10,192.0.2.11", "65200", ""]
    answers += ["hv1,65001", "hv1,65001,198.51.100.1,203.0.113.1"]
    monkeypatch.setattr(sys, "stdin", _Terminal("\n".join(answers) + "\n"))
    assert main(["init", "--address", "192.0.2.100"]) == 0
    config = written(place)
    assert len(config.routers[0].neighbors) == 2
    output = capsys.readouterr().err
    assert "a value is needed" in output
    assert "invalid ASN 'x'" in output
    assert "such as hv1,65001" in output


def test_an_operator_who_leaves_has_no_half_a_site(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", _Terminal("65100\n"))
    assert main(["init"]) == 1
    assert list(place.iterdir()) == []
