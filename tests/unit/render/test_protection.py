"""TCP MD5 and GTSM in the files of ExaBGP and BIRD, and nowhere else."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from stat import S_IMODE

import pytest
from support.speaker_peer import TCP_MD5SIG, signature

from rsfilter.cli import main
from rsfilter.config.build import parse_config
from rsfilter.config.passwords import Passwords
from rsfilter.edge.socket_memory import OPTMEM_MAX, PASSWORD_OCTETS, memory_warning
from rsfilter.render.bird import render_fanouts
from rsfilter.render.exabgp import RenderError, render
from rsfilter.render.protection import PasswordFiles, Protected, Protection, encoded, redacted
from rsfilter.routing.model import Address
from rsfilter.rpki.truth import Truth, TruthError, parse_truth

SECRETS = ("of-all-hosts", "of-hv2{;}[]#", "of-the-leaves{;}#", "of-the-fanout")
ALL_HOSTS, HV2, LEAVES, FANOUT = SECRETS

CONFIG = """
[route_server]
asn = 65100
router_id = "192.0.2.100"
local_address = "192.0.2.100"
[truth]
file = "truth.json"
[[hosts]]
name = "hypervisors"
neighbors = ["198.51.100.0/25"]
password_file = "hosts.passwords"
ttl_security = 1
[[hosts]]
name = "others"
neighbors = ["198.51.100.128/25"]
[[routers]]
name = "leaves"
neighbors = ["192.0.2.10"]
asn = 65200
password_file = "leaves.passwords"
ttl_security = 2
"""
WITH_FANOUT = """
[fanout]
addresses = ["192.0.2.30"]
password_file = "fanout.passwords"
"""
NEAR_FANOUT = WITH_FANOUT + "ttl_security = 3\n"
FILES = {
    "hosts.passwords": f"{ALL_HOSTS}\nkey2 {HV2}\n",
    "leaves.passwords": f"192.0.2.10 {LEAVES}\n",
    "fanout.passwords": f"{FANOUT}\n",
}


def truth(**passwords: str) -> bytes:
    hosts = [
        {"name": f"hv{n}", "asn": 65000 + n, "neighbors": [f"198.51.100.{n}"], "prefixes": []}
        for n in (1, 2, 200)
    ]
    hosts[0]["prefixes"] = ["203.0.113.1/32"]
    for host in hosts:
        if name := passwords.get(str(host["name"])):
            host["password"] = name
    return json.dumps({"hosts": hosts}).encode()


def parsed(content: bytes) -> Truth:
    return parse_truth(content, "truth.json", 0.0)


def files(**others: Passwords) -> PasswordFiles:
    found = {
        "hosts": Passwords(ALL_HOSTS, {"key2": HV2}),
        "leaves": Passwords(None, {"192.0.2.10": LEAVES}),
        "fanout": Passwords(FANOUT),
        **others,
    }
    return {Path(f"/etc/rsfilter/{name}.passwords"): each for name, each in found.items()}


def block(text: str, neighbor: str) -> str:
    (found,) = re.findall(
        rf"^neighbor {re.escape(neighbor)} {{.*?^}}", text, re.MULTILINE | re.DOTALL
    )
    return str(found)


def exabgp_conf(
    config: str = CONFIG, *, by: bytes = b"", given: PasswordFiles | None = None
) -> str:
    found = parse_config(config, Path("/etc/rsfilter/rsfilter.toml"))
    made = render(
        found, parsed(by or truth(hv2="key2")), ["/bin/rsfilter"], "root", given or files()
    )
    return made.files["exabgp.conf"]


def test_each_session_has_its_own_password_and_ttl() -> None:
    text = exabgp_conf()
    for neighbor, password, ttl in (
        ("198.51.100.1", ALL_HOSTS, 255),
        ("198.51.100.2", HV2, 255),
        ("192.0.2.10", LEAVES, 254),
    ):
        found = block(text, neighbor)
        assert f'md5-password "{encoded(password)}";\n    md5-base64 true;' in found
        assert f"outgoing-ttl 255;\n    incoming-ttl {ttl};" in found
    assert "md5" not in block(text, "198.51.100.200")
    assert "ttl" not in block(text, "198.51.100.200")


def test_truth_gives_a_host_another_number_of_hops() -> None:
    found = json.loads(truth())
    for host, hops in zip(found["hosts"], (None, 0, 3), strict=True):
        if hops is not None:
            host["ttl_security"] = hops
    text = exabgp_conf(by=json.dumps(found).encode())
    assert "incoming-ttl 255;" in block(text, "198.51.100.1"), "as its group has it"
    assert "ttl" not in block(text, "198.51.100.2")
    assert "outgoing-ttl 255;\n    incoming-ttl 253;" in block(text, "198.51.100.200")


@pytest.mark.parametrize("value", [-1, 255, True, "1", 1.0, None, [1]])
def test_a_number_of_hops_that_no_session_can_have(value: object) -> None:
    document = json.loads(truth())
    document["hosts"][0]["ttl_security"] = value
    with pytest.raises(TruthError, match=r"/hosts/0/ttl_security: must be hops from 1 to 254, or"):
        parsed(json.dumps(document).encode())


def test_sessions_with_a_fanout_check_the_ttl_at_both_ends() -> None:
    config = parse_config(CONFIG + NEAR_FANOUT, Path("/etc/rsfilter/rsfilter.toml"))
    (text,) = render_fanouts(config, files()).values()
    (shards,) = re.findall(r"^template bgp shard {.*?^}", text, re.MULTILINE | re.DOTALL)
    assert "multihop 3; ttl security on; strict bind on;" in shards
    found = block(exabgp_conf(CONFIG + NEAR_FANOUT), "192.0.2.30")
    assert "outgoing-ttl 255;\n    incoming-ttl 253;" in found


def test_a_fanout_has_the_passwords_of_its_sessions() -> None:
    config = parse_config(CONFIG + WITH_FANOUT, Path("/etc/rsfilter/rsfilter.toml"))
    (text,) = render_fanouts(config, files()).values()
    assert text.count(f'password "{FANOUT}";') == text.count(f'password "{LEAVES}";') == 1
    assert text.count("multihop 2; ttl security on;") == 1
    assert text.count("ttl security") == 1  # not with ExaBGP
    found = block(exabgp_conf(CONFIG + WITH_FANOUT), "192.0.2.30")
    assert encoded(FANOUT) in found
    assert "ttl" not in found


@pytest.mark.parametrize(
    ("by", "given", "problem"),
    [
        (truth(hv2="key3"), {}, "hosts.passwords has no password for 'key3', which truth names"),
        (truth(hv200="key2"), {}, "others: truth names the password 'key2' for 198.51.100.200"),
        (truth(), {"hosts": Passwords(None, {"key2": HV2})}, "no password for 198.51.100.1;"),
        (truth(), {"leaves": Passwords(None, {"leaf": LEAVES})}, "no password for 192.0.2.10;"),
    ],
)
def test_a_session_that_should_have_a_password_and_has_none(
    by: bytes, given: dict[str, Passwords], problem: str
) -> None:
    with pytest.raises(RenderError) as caught:
        exabgp_conf(by=by, given=files(**given))
    assert problem in str(caught.value)
    assert not [secret for secret in SECRETS if secret in str(caught.value)]


@pytest.mark.parametrize("value", ["s3cret of all", "s3cret;", "", 7, ["s3cret"], "s" * 65])
def test_truth_names_a_password_and_never_holds_one(value: object) -> None:
    document = json.loads(truth())
    document["hosts"][0]["password"] = value
    with pytest.raises(TruthError) as caught:
        parsed(json.dumps(document).encode())
    assert "/hosts/0/password: must be the name of a password in password_file" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_another_program_quotes_no_password() -> None:
    found = f"line 7: {LEAVES} and {encoded(HV2)} and {ALL_HOSTS}!"
    assert redacted(found, files()) == "line 7: (password) and (password) and (password)!"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "rsfilter.toml").write_text(CONFIG + WITH_FANOUT)
    (tmp_path / "truth.json").write_bytes(truth(hv2="key2"))
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    return tmp_path


def modes(place: Path) -> dict[str, int]:
    return {path.name: S_IMODE(path.stat().st_mode) for path in (place / "out").iterdir()}


@pytest.mark.lab
def test_files_with_passwords_are_their_owners_alone(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["render", "exabgp", "-c", str(place / "rsfilter.toml"), "-o", str(place / "out")]
    assert main(command) == 0  # ExaBGP and BIRD take both files
    assert modes(place) == {"exabgp.conf": 0o600, "bird.conf": 0o600, "exabgp.env": 0o644}
    (place / "out/exabgp.conf").chmod(0o644)
    assert main(command) == 0
    assert modes(place)["exabgp.conf"] == 0o600
    assert main(["check", "-c", str(place / "rsfilter.toml")]) == 0
    assert main(["check", "--json", "-c", str(place / "rsfilter.toml")]) == 0
    output = "".join(capsys.readouterr())
    assert not [secret for secret in SECRETS if secret in output or encoded(secret) in output]
    assert "hosts.passwords" in output


def test_check_finds_what_render_would_refuse(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "truth.json").write_bytes(truth(hv2="key3"))
    (place / "leaves.passwords").chmod(0o644)
    assert main(["check", "--json", "-c", str(place / "rsfilter.toml")]) == 0
    warnings = "\n".join(json.loads(capsys.readouterr().out)["warnings"])
    assert "no password for 'key3'" in warnings
    assert "leaves.passwords: every user can read it; chmod o-rwx" in warnings


def test_the_kernel_takes_so_many_passwords_and_no_more(tmp_path: Path) -> None:
    limit = tmp_path / "optmem_max"
    limit.write_text("20480\n")
    assert memory_warning(128, limit) == ""
    assert "129 passwords on one socket need 20640 octets" in memory_warning(129, limit)
    assert memory_warning(10**6, tmp_path / "missing") == ""


@pytest.mark.lab
def test_the_kernel_needs_no_more_memory_than_promised() -> None:
    """Require that as many passwords fit as the limit promises, on this kernel."""
    fit = int(OPTMEM_MAX.read_text()) // PASSWORD_OCTETS
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for number in range(fit):
            neighbor = (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0)
            option = signature(neighbor, "x" * 80)
            listening.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, option)


def test_passwords_are_counted_by_family() -> None:
    one, two = (Address.parse(text) for text in ("192.0.2.1", "192.0.2.2"))
    other, none = (Address.parse(text) for text in ("2001:db8::1", "2001:db8::2"))
    keyed = Protection("x")
    found = Protected({one: keyed, other: keyed, none: Protection()}, {two: keyed}, ())
    assert found.most_passwords == 2
