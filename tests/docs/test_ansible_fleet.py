"""The fleet of docs/examples/ansible, played on this machine: four instances and two fan-outs."""

from __future__ import annotations

import getpass
import grp
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.places import ROOT

pytestmark = pytest.mark.slow  # two runs of Ansible on four instances

ANSIBLE = ROOT / "docs" / "examples" / "ansible"
PROGRAMS = Path(sys.executable).parent

INSTANCES = {"rs1_a", "rs1_b", "rs2_a", "rs2_b"}

TRUTH = {
    "hosts": [
        {
            "name": f"hv{number}",
            "asn": 65000 + number,
            "neighbors": [f"198.51.100.{number}"],
            "prefixes": [f"203.0.113.{number}/32"],
        }
        for number in (1, 129)
    ]
}


class Fleet:
    """The example's own inventory. What differs here is where files are, and who has them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.truth = directory / "truth.json"
        self.truth.write_text(json.dumps(TRUTH))
        self._variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "rsfilter_at_once": 4,  # instances are in one place here, and nothing serves clients
            "rsfilter_manage_system": False,
            "rsfilter_user": getpass.getuser(),
            "rsfilter_group": grp.getgrgid(os.getgid()).gr_name,
            "rsfilter_program": str(PROGRAMS / "rsfilter"),
            "rsfilter_etc": str(directory / "{{ inventory_hostname }}"),
            "rsfilter_state": str(directory / "state/{{ inventory_hostname }}"),
            "rsfilter_truth": str(self.truth),
            "rsfilter_fanout_file": str(
                directory / "{{ rsfilter_fanout_from }}/bird-{{ rsfilter_fanout_address }}.conf"
            ),
            "rsfilter_fanout_config": str(directory / "{{ inventory_hostname }}.conf"),
        }

    def changes(self) -> int:
        """Return how many tasks changed something, on all hosts together. Fails when the play
        does."""
        home = {"ANSIBLE_HOME": str(self.directory / "ansible"), "ANSIBLE_NOCOLOR": "1"}
        played = subprocess.run(
            [
                *(PROGRAMS / "ansible-playbook", "-i", ANSIBLE / "fleet.example.yml"),
                *(ANSIBLE / "fleet.yml", "--extra-vars", json.dumps(self._variables)),
            ],
            env=os.environ | home | {"LC_ALL": "C.UTF-8", "ANSIBLE_PIPELINING": "1"},
            cwd=ANSIBLE,
            capture_output=True,
            text=True,
            check=False,
        )
        assert played.returncode == 0, played.stdout + played.stderr
        return sum(map(int, re.findall(r"changed=(\d+)", played.stdout)))

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.directory)): path.read_bytes()
            for path in self.directory.rglob("*")
            if path.is_file() and "ansible" not in path.relative_to(self.directory).parts
        }


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    found = Fleet(tmp_path_factory.mktemp("a fleet"))
    assert found.changes() > 0
    return found


def test_a_second_run_changes_nothing(fleet: Fleet) -> None:
    before = fleet.files()
    assert fleet.changes() == 0
    assert fleet.files() == before


def test_the_instances_fit_together(fleet: Fleet) -> None:
    """Each host has two of them, on two machines; no two share what they cannot share."""
    paths = [fleet.directory / name / "rsfilter.toml" for name in sorted(INSTANCES)]
    checked = subprocess.run(
        [PROGRAMS / "rsfilter", "fleet", "check", *paths, "--covers", "198.51.100.0/24"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    configs = {path.parent.name: tomllib.loads(path.read_text()) for path in paths}
    for one, other in (("rs1_a", "rs1_b"), ("rs2_a", "rs2_b")):
        for key in ("socket", "listen"):
            assert configs[one]["http"][key] != configs[other]["http"][key]
    truths = {(fleet.directory / name / "truth.json").read_bytes() for name in INSTANCES}
    assert truths == {fleet.truth.read_bytes()}


def test_fan_outs_have_what_every_instance_renders(fleet: Fleet) -> None:
    for fanout, address in (("fan1", "192.0.2.30"), ("fan2", "192.0.2.31")):
        text = (fleet.directory / f"{fanout}.conf").read_text()
        assert f"local {address} port 179 as 65100" in text
        rendered = {
            (fleet.directory / name / f"bird-{address}.conf").read_text() for name in INSTANCES
        }
        assert rendered == {text}
