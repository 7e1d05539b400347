"""Files of docs/examples work as their reader would use them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.places import ROOT

EXAMPLES = ROOT / "docs" / "examples"
PROGRAMS = Path(sys.executable).parent


# Ansible -------------------------------------------------------------------------------------


class Playbook:
    """The role, played on this machine into a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.truth = directory / "source" / "truth.json"
        self.truth.parent.mkdir()
        self.owns("203.0.113.0/28")
        self.variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "rsfilter_manage_system": False,
            "rsfilter_user": _output("id", "-un"),
            "rsfilter_group": _output("id", "-gn"),
            "rsfilter_prefix": str(directory / "opt"),
            "rsfilter_etc": str(directory / "etc"),
            "rsfilter_state": str(directory / "state"),
            "rsfilter_program": str(PROGRAMS / "rsfilter"),
            "rsfilter_truth": str(self.truth),
            "rsfilter_route_server": {
                "asn": 65100,
                "router_id": "192.0.2.100",
                "local_address": "192.0.2.100",
            },
            "rsfilter_hosts": [{"name": "hypervisors", "neighbors": ["198.51.100.0/25"]}],
            "rsfilter_routers": [{"name": "leaves", "neighbors": ["192.0.2.10"], "asn": 65200}],
            "rsfilter_sections": {"guard": {"max_loss_percent": 10}},
        }

    def owns(self, *prefixes: str) -> None:
        host = {"name": "hv1", "asn": 65001, "neighbors": ["198.51.100.1"], "prefixes": prefixes}
        self.truth.write_text(json.dumps({"hosts": [host]}))

    def plays(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        inventory = self.directory / "inventory.yml"
        hosts = {"here": self.variables}
        inventory.write_text(json.dumps({"route_servers": {"hosts": hosts}}))  # JSON is YAML
        ansible = EXAMPLES / "ansible"
        return subprocess.run(
            [PROGRAMS / "ansible-playbook", "-i", inventory, ansible / "site.yml", *arguments],
            env=_environment(self.directory),
            cwd=ansible,
            capture_output=True,
            text=True,
            check=False,
        )

    def changes(self) -> int:
        """Return how many tasks changed something. Fails when the play does."""
        played = self.plays()
        assert played.returncode == 0, played.stdout + played.stderr
        match = re.search(r"changed=(\d+)", played.stdout)
        assert match
        return int(match[1])

    def files(self) -> dict[str, bytes]:
        """Return the files that the role has written."""
        etc = self.directory / "etc"
        return {p.name: p.read_bytes() for p in etc.iterdir()}


def _environment(directory: Path) -> dict[str, str]:
    """Ansible's. It refuses to run where the locale is not UTF-8."""
    own = {"ANSIBLE_HOME": str(directory / "ansible"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
    return {**os.environ, **own}


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def playbook(tmp_path: Path) -> Playbook:
    directory = tmp_path / "a site"
    directory.mkdir()
    return Playbook(directory)


def test_the_roles_second_run_changes_nothing(playbook: Playbook) -> None:
    assert playbook.changes() == 4
    written = playbook.files()
    assert set(written) == {"rsfilter.toml", "truth.json", "exabgp.conf", "exabgp.env"}
    assert b"neighbor 198.51.100.1 {" in written["exabgp.conf"]
    assert playbook.changes() == 0
    assert playbook.files() == written


@pytest.mark.parametrize(
    ("changed", "handler"),
    [
        ({"port": 1790}, "Restart ExaBGP"),  # it reads where it listens when it starts alone
        pytest.param({"router_id": "192.0.2.101"}, "Reload ExaBGP", marks=pytest.mark.slow),
    ],
)
def test_the_role_has_exabgp_take_in_what_changed(
    playbook: Playbook, changed: dict[str, Any], handler: str
) -> None:
    """Here it has no service to do it with: only that keeps one of the two handlers back."""
    playbook.changes()
    playbook.variables["rsfilter_route_server"] |= changed
    output = playbook.plays("-v").stdout
    skipped = dict(
        re.findall(r'HANDLER \[rsfilter : (.*)\].*\n.*"false_condition": "([^"]*)"', output)
    )
    wanted = [name for name, why in skipped.items() if why == "rsfilter_manage_system"]
    assert wanted == ["Restart the filter", handler], output


def test_the_role_refuses_a_bad_truth_and_leaves_everything_as_it_was(playbook: Playbook) -> None:
    playbook.changes()
    before = playbook.files()
    playbook.owns("203.0.113.1/28")
    played = playbook.plays()
    assert played.returncode != 0
    assert "/hosts/0/prefixes/0" in played.stdout
    assert playbook.files() == before


UNIT = EXAMPLES / "systemd" / "rsfilter.service"


@pytest.mark.parametrize(
    ("instance", "unit"), [("", "rsfilter.service"), ("rs1", "rsfilter@.service")]
)
def test_the_role_writes_the_unit_of_the_examples(
    playbook: Playbook, instance: str, unit: str
) -> None:
    """There are two of each, since Ansible's has variables; with their defaults they are one."""
    template = EXAMPLES / "ansible/roles/rsfilter/templates/rsfilter.service.j2"
    written = playbook.directory / "rsfilter.service"
    places = {
        "rsfilter_instance": instance,
        "rsfilter_user": "rsfilter",
        "rsfilter_group": "rsfilter",
        "rsfilter_prefix": "/opt/rsfilter",
        "rsfilter_etc": str(Path("/etc/rsfilter", instance)),
        "rsfilter_state": str(Path("/var/lib/rsfilter", instance)),
    }
    subprocess.run(
        [
            *(PROGRAMS / "ansible", "localhost", "--connection=local", "--module-name=template"),
            *("--args", json.dumps({"src": str(template), "dest": str(written)})),
            *("--extra-vars", json.dumps(playbook.variables | places)),
        ],
        env=_environment(playbook.directory),
        capture_output=True,
        check=True,
    )
    managed, _, text = written.read_text().partition("\n")
    assert managed.startswith("#")
    assert text == UNIT.with_name(unit).read_text()


def test_the_unit_of_an_instance_is_the_unit_in_other_places() -> None:
    """The unit is as hardened, and as patient."""
    places = {
        "ExaBGP and rsfilter)": "ExaBGP and rsfilter), instance %i",
        "/etc/rsfilter/": "/etc/rsfilter/%i/",
        "=/var/lib/rsfilter\n": "=/var/lib/rsfilter/%i\n",
        "StateDirectory=rsfilter\n": "StateDirectory=rsfilter/%i\n",
        "`[http] socket`.": "`[http] socket`, which is /run/rsfilter-NAME/rsfilter.sock here.",
        "RuntimeDirectory=rsfilter\n": "RuntimeDirectory=rsfilter-%i\n",
    }
    text = UNIT.read_text()
    for place, of_instance in places.items():
        assert place in text
        text = text.replace(place, of_instance)
    assert UNIT.with_name("rsfilter@.service").read_text() == text


@pytest.mark.parametrize("name", ["rsfilter.service", "rsfilter@.service"])
def test_the_unit_is_sound_and_hardened(tmp_path: Path, name: str) -> None:
    unit = tmp_path / name.replace("@", "@rs1")
    text = UNIT.with_name(name).read_text()
    unit.write_text(text.replace("/opt/rsfilter/venv/bin/rsfilter", "/bin/true"))
    analyze = partial(subprocess.run, capture_output=True, text=True, check=False)
    verified = analyze(["systemd-analyze", "verify", "--man=no", unit])
    assert verified.returncode == 0, verified.stderr
    rated = analyze(["systemd-analyze", "security", "--offline=yes", "--threshold=20", unit])
    assert rated.returncode == 0, rated.stdout  # at most 2.0 of 10: "OK" ends at 5


def test_no_system_call_of_a_library_ends_the_unit() -> None:
    """ExaBGP imports readline, which starts ncurses, and that of Debian 13 calls these two: the
    kernel killed each ExaBGP at its start. Others will follow."""
    lines = UNIT.read_text().splitlines()
    allowed = lines.index("SystemCallFilter=setfsuid setfsgid")
    assert allowed > lines.index("SystemCallFilter=~@privileged @resources"), "the last one decides"
    assert "SystemCallErrorNumber=EPERM" in lines


def test_systemd_never_gives_up_on_the_unit() -> None:
    unit = ConfigParser(strict=False, interpolation=None)  # some keys stand there twice
    unit.read_string(UNIT.read_text())
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Service"]["Restart"] == "always"


def test_scripts_are_sound() -> None:
    deb = ROOT / "packaging" / "deb"
    packaging = [deb / name for name in ("build", "try", "postinst", "prerm", "postrm", "rsfilter")]
    packaging.append(ROOT / "packaging" / "route-server")
    for script in (EXAMPLES / "install.sh", *packaging, *(ROOT / ".ci").iterdir()):
        checked = subprocess.run(
            ["shellcheck", "--external-sources", script],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout


# The installer -------------------------------------------------------------------------------


class Installer:
    """install.sh, into a directory, with wheels that have nothing but a version in them. Those of
    rsfilter itself are installed by tests/system/test_upgrade.py."""

    def __init__(self, directory: Path) -> None:
        self._wheels = directory / "wheels"
        self.prefix = directory / "opt"
        self.etc = directory / "etc"
        for made in (self._wheels, self.etc):
            made.mkdir()

    def wheel(self, version: str, *, code: int = 0, refuses: str = "nothing") -> str:
        """Script of a program that ends with this code, or with 1 where a word has `refuses` in
        it."""
        path = self._wheels / f"rsfilter-{version}-py3-none-any.whl"
        about = f"rsfilter-{version}.dist-info"
        program = (
            f"import sys\ndef main():\n    print('rsfilter {version}')\n"
            f"    return {code} or any({refuses!r} in word for word in sys.argv)\n"
        )
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("rsfilter/__init__.py", program)
            wheel.writestr("rsfilter/__main__.py", "from rsfilter import main\nexit(main())\n")
            metadata = f"Metadata-Version: 2.1\nName: rsfilter\nVersion: {version}\n"
            wheel.writestr(f"{about}/METADATA", metadata)
            pure = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            wheel.writestr(f"{about}/WHEEL", pure)
            script = "[console_scripts]\nrsfilter = rsfilter:main\n"
            wheel.writestr(f"{about}/entry_points.txt", script)
            wheel.writestr(f"{about}/RECORD", "")
        return str(path)

    def runs(self, *arguments: str, code: int = 0, umask: int = 0o022) -> str:
        """Return its output."""
        places = {"PREFIX": str(self.prefix), "ETC": str(self.etc)}
        done = subprocess.run(
            ["sh", EXAMPLES / "install.sh", *arguments],
            env=os.environ | places | {"PIP_NO_INDEX": "1"},
            umask=umask,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def versions(self) -> set[str]:
        return {path.name for path in (self.prefix / "versions").iterdir()}

    def in_force(self) -> str:
        return _output(str(self.prefix / "venv" / "bin" / "rsfilter"))


@pytest.fixture
def installer(tmp_path: Path) -> Installer:
    return Installer(tmp_path)


def test_every_user_can_run_what_is_installed(installer: Installer) -> None:
    """The modes hold also when root's umask is that of a hardened machine."""
    installer.runs(installer.wheel("1.0"), umask=0o077)
    closed = r"( -type d ! -perm -o=rx -o -type f ! -perm -o=r ) -print"
    assert _output("find", str(installer.prefix), *closed.split()) == ""


@pytest.mark.slow  # installs four versions
def test_a_version_that_does_not_get_in_force_is_not_left_behind(installer: Installer) -> None:
    installer.runs(installer.wheel("1.0"))
    installed = installer.versions()
    installer.runs(str(installer.prefix / "no-such-1.0-py3-none-any.whl"), code=1)
    assert "does not start" in installer.runs(installer.wheel("1.1", code=1), code=1)
    assert installer.versions() == installed
    assert installer.in_force() == "rsfilter 1.0"
    assert "there is no version before this one" in installer.runs("--back", code=1)
    installer.runs(installer.wheel("1.2"))
    assert installer.in_force() == "rsfilter 1.2"
    assert "rsfilter 1.0 is in force" in installer.runs("--back")


@pytest.mark.slow  # installs two versions
def test_a_version_has_to_accept_the_configuration_of_every_instance(installer: Installer) -> None:
    for instance in ("a", "b"):
        (installer.etc / instance).mkdir()
        (installer.etc / instance / "rsfilter.toml").touch()
    installer.runs(installer.wheel("1.0"))
    for instance in ("a", "b"):
        refused = installer.wheel("1.1", refuses=f"/{instance}/rsfilter.toml")
        assert "nothing was changed" in installer.runs(refused, code=1)
    assert installer.in_force() == "rsfilter 1.0"


@pytest.mark.parametrize("arguments", [(), ("--help",), ("a.whl", "b.whl"), ("--back", "a.whl")])
def test_the_installer_takes_one_argument(installer: Installer, arguments: tuple[str, ...]) -> None:
    assert "install.sh WHEEL" in installer.runs(*arguments, code=2)
    assert not installer.prefix.exists()
