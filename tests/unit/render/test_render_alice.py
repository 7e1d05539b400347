"""`rsfilter render alice`: Alice-LG's sections, and the example in docs/examples/alice."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

import pytest
from support.config_sample import configuration
from support.places import ROOT

from rsfilter.cli import main
from rsfilter.config.build import parse_config
from rsfilter.config.model import Config, ConfigError
from rsfilter.render.alice import render_alice
from rsfilter.routing.export import Withheld
from rsfilter.routing.reasons import REASONS

EXAMPLE = ROOT / "docs" / "examples" / "alice" / "alice.conf"

FLEET = '[fleet]\nname = "site-a"\ndatabase = "postgresql://{0}@db1/rsfilter?sslmode=verify-full"\n'
HTTP = '[http]\nlisten = "{0}"\ntoken_file = "token"\nlooking_glass = true\n'


def config(name: str, listen: str, more: str = "", fleet: str = FLEET) -> Config:
    text = configuration() + HTTP.format(listen) + more + fleet.format(name)
    return parse_config(text, Path(f"/etc/rsfilter/{name}.toml"))


TWO = [
    config("rs1", "192.0.2.100:8480", 'read_token_file = "read-token"\n'),
    config("rs2", "192.0.2.101:8480", 'allowed_hosts = ["rs2.example.net"]\n'),
]


def parsed(text: str) -> ConfigParser:
    ini = ConfigParser(delimiters=("=",), interpolation=None)
    ini.read_string(text)
    return ini


def test_the_example_is_what_is_printed_today() -> None:
    head, mark, rest = EXAMPLE.read_text().partition("# Printed by")
    assert "[server]" in head
    assert mark + rest == render_alice(TWO).text


def test_each_reason_has_its_text() -> None:
    ini = parsed(EXAMPLE.read_text())
    rejected = dict(ini["rejection_reasons"])
    for reason in REASONS.values():
        assert reason.text in rejected.pop(f"65100:1101:{reason.euro_ix}", reason.text)
    assert rejected == {}  # and no text is of a reason that is not there
    withheld = {f"65100:1102:{why.number}": why.text for why in Withheld}
    assert dict(ini["noexport_reasons"]) == withheld
    assert {ini["rpki"][name] for name in ("valid", "unknown", "not_checked", "invalid")} == {
        f"65100:1000:{number}" for number in (1, 2, 3, 4)
    }
    named = {*ini["rejection_reasons"], *ini["noexport_reasons"]}
    assert named < {*ini["bgp_communities"]}


def test_no_text_means_something_to_the_parser() -> None:
    """Alice-LG expands {…} and lines that begin with $."""
    assert not re.search(r"[{}]|^\s*\$", render_alice(TWO).text, re.MULTILINE)


def test_each_route_server_is_a_source() -> None:
    rendered = render_alice(TWO)
    ini = parsed(rendered.text)
    assert {name: ini[f"source.{name}.birdwatcher"]["api"] for name in ("rs1", "rs2")} == {
        "rs1": "http://alice:READ_TOKEN@192.0.2.100:8480/birdwatcher",
        "rs2": "http://rs2.example.net:8480/birdwatcher",
    }
    assert {ini[f"source.{name}"]["group"] for name in ("rs1", "rs2")} == {"site-a"}
    assert rendered.warnings == [
        "rs1: put the content of /etc/rsfilter/read-token in place of READ_TOKEN"
    ]


@pytest.mark.parametrize(
    ("listen", "more", "api"),
    [
        ("[2001:db8::1]:8480", "", "http://[2001:db8::1]:8480/birdwatcher"),
        ("0.0.0.0:9000", "", "http://192.0.2.100:9000/birdwatcher"),
        (
            "192.0.2.100:443",
            'tls_certificate = "c"\ntls_key = "k"\n',
            "https://192.0.2.100:443/birdwatcher",
        ),
    ],
)
def test_the_url_is_where_it_listens(listen: str, more: str, api: str) -> None:
    assert f"api = {api}\n" in render_alice([config("rs1", listen, more)]).text


def test_a_dot_begins_no_section() -> None:
    text = configuration().replace("[route_server]", '[route_server]\nname = "rs1.site.a"')
    one = parse_config(text + HTTP.format("127.0.0.1:8480"), Path("rsfilter.toml"))
    rendered = render_alice([one])
    assert "[source.rs1-site-a]\nname = rs1.site.a\n" in rendered.text
    assert rendered.warnings == [
        "rs1-site-a: only an Alice-LG on the same machine reaches 127.0.0.1:8480"
    ]


def test_what_cannot_be_a_source_is_reported(tmp_path: Path) -> None:
    dark = parse_config(configuration(), Path("/etc/rsfilter/dark.toml"))
    with pytest.raises(ConfigError) as error:
        render_alice([dark, TWO[0], TWO[0]])
    assert error.value.problems == [
        "/etc/rsfilter/dark.toml: http.looking_glass: is false: there is nothing to see",
        "/etc/rsfilter/rs1.toml: route_server.name: rs1 is the name of /etc/rsfilter/rs1.toml too",
    ]


def test_the_command_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for name in ("rs1", "rs2"):
        text = configuration().replace("[route_server]", f'[route_server]\nname = "{name}"')
        paths.append(tmp_path / f"{name}.toml")
        paths[-1].write_text(text + HTTP.format("127.0.0.1:8480"))
    assert main(["render", "alice", "-c", *map(str, paths)]) == 0
    printed = capsys.readouterr()
    assert parsed(printed.out).sections()[-2:] == ["source.rs2", "source.rs2.birdwatcher"]
    assert "warning: rs1: only" in printed.err
