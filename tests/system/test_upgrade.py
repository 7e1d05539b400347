"""An upgrade as in docs/operations.md: no session is lost, and no router notices.

Two wheels are built here, of the last release (from the repository's history) and of this checkout,
and installed by docs/examples/install.sh.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.frr import FrrRouter
from lab.waiting import eventually
from support.places import ROOT

import rsfilter

pytestmark = [pytest.mark.lab, pytest.mark.slow]

INSTALL = ROOT / "docs" / "examples" / "install.sh"
LEFT_OUT = shutil.ignore_patterns(".*cache", ".git", ".venv", ".lab", "*.so", "*.egg-info", "build")

OLD, RELEASED = "0.1.0", "a80ee1a30876a0c0ae27e4959ada981393fdb54e"
"""The last release, and its commit."""
NEW = rsfilter.__version__
GUESTS = ["10.1.0.1/32", "2001:db8:1::1/128"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wheels of the last release, and of this checkout."""
    place = tmp_path_factory.mktemp("source")
    old, new = place / "old", place / "new"
    old.mkdir()
    archive = place / "old.tar"
    run("git", "-C", str(ROOT), "archive", "--output", str(archive), RELEASED)
    run("tar", "--extract", "--file", str(archive), "--directory", str(old))
    shutil.copytree(ROOT, new, ignore=LEFT_OUT)
    built = {}
    for version, clone in ((OLD, old), (NEW, new)):
        out = place / version
        run(sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(clone))
        (built[version],) = out.glob(f"rsfilter-{version}-*.whl")
    return built


def run(*command: str, **environment: str) -> str:
    """Return the output of a program. Nothing of this checkout can be imported by it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        command, env=kept | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class InstalledServer(RouteServer):
    """A route server whose programs are where install.sh puts them."""

    def __init__(self, lab: Lab, **settings: Any) -> None:
        super().__init__(lab, **settings)
        self.prefix = lab.directory / "opt"
        self.program = f"{self.prefix}/venv/bin/exabgp"  # as the unit of 0.1.0

    def installs(self, what: str) -> str:
        """Return the output of install.sh."""
        return run("sh", str(INSTALL), what, PREFIX=str(self.prefix), ETC=str(self.place))

    def rsfilter(self, *arguments: str, code: int = 0) -> str:
        argv = [str(self.prefix / "venv" / "bin" / "rsfilter"), *arguments]
        return self.lab.run(argv, code=code, cwd=self.place, env=self._environment())

    def runs(self, version: str) -> None:
        """Wait until a filter of this version is at work, the only one."""

        def probe() -> str | None:
            pids = self.lab.find(f"rsfilter run -c {self.configuration}")
            if len(pids) != 1 or not self.audit.records(event="start"):
                return f"{len(pids)} filters run"
            (*_, last) = self.audit.records(event="start")
            found = last["data"]["version"]
            return None if found == version else f"{found} runs"

        eventually(probe, self.lab.report)


@pytest.fixture
def server(lab: Lab, wheels: dict[str, Path]) -> InstalledServer:
    server = InstalledServer(lab)
    server.installs(str(wheels[OLD]))
    return server


def test_no_router_hears_of_an_upgrade(
    lab: Lab, server: InstalledServer, wheels: dict[str, Path]
) -> None:
    host = BirdHost(lab, "hv1", 11, 65001, [server.endpoint])
    bird = BirdRouter(lab, "leaf1", 201, 65200, [server.endpoint])
    frr = FrrRouter(lab, "leaf2", 202, 65200, [server.endpoint], over=6)
    server.configure(
        [group_of("hosts", host)],
        [group_of("leaves", bird, frr, port=lab.bgp_port)],
        truth={"file": "truth.json"},
        http={"listen": server.http},
    )
    # 0.1.0 knows no name of a route server, and no socket.
    text = server.configuration.read_text()
    server.configuration.write_text(text.replace(f'name = "{server.name}"\n', "", 1))
    server.writes_truth({"roas": [{"prefix": guest, "asn": 65001} for guest in GUESTS]})
    for daemon in (server, host, bird, frr):
        daemon.starts()
    host.announces(*GUESTS)
    for router in (bird, frr):
        router.has_exactly(*GUESTS)
    server.runs(OLD)

    moment = bird.moment()
    exabgp = lab.find("exabgp server")
    for what, version in ((str(wheels[NEW]), NEW), ("--back", OLD)):
        assert f"rsfilter {version} is in force" in server.installs(what)
        server.runs(version)
        host.announces("10.1.0.2/32")  # it is at work: no host owns this one
        server.audit.has(event="verdict", prefix="10.1.0.2/32", verdict="rejected")
        host.withdraws("10.1.0.2/32")
    assert bird.changes(moment) == []
    assert lab.find("exabgp server") == exabgp
    for router in (bird, frr):
        router.has_exactly(*GUESTS)
    server.rsfilter("audit", "verify", "--directory", "audit")
    lab.no_errors()


def test_a_version_that_does_not_take_the_configuration_is_not_put_in_force(
    server: InstalledServer, wheels: dict[str, Path]
) -> None:
    server.configuration.write_text("[route_server]\nasn = 0\n")
    with pytest.raises(AssertionError, match="nothing was changed"):
        server.installs(str(wheels[NEW]))
    assert server.rsfilter("--version") == f"rsfilter {OLD}\n"
