"""Archives of `make dist` work where there is nothing but Python and librtr: `pytest -m slow`.

The wheel is built from the source archive, so that nothing in either depends on the checkout, and
is installed into an environment of its own.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from lab.waiting import DEADLINE_S, eventually
from support.config_sample import configuration
from support.places import ROOT
from support.speaker import announce, state

import rsfilter

pytestmark = pytest.mark.slow

LEFT_OUT = shutil.ignore_patterns(".*cache", ".git", ".venv", ".lab", "*.so", "*.egg-info", "build")
"""A fresh clone: files of an earlier build must not help this one."""

CONFIG = (
    configuration()
    + """
[http]
listen = "{listen}"
"""
)
OWNER = {
    "name": "hv1",
    "asn": 65001,
    "neighbors": ["198.51.100.1"],
    "prefixes": ["203.0.113.0/28"],
}


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Return the output of a program. Nothing of this checkout can be imported by it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        command, cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("a release")
    shutil.copytree(ROOT, place / "clone", ignore=LEFT_OUT)
    out = place / "dist"
    run(sys.executable, "-m", "build", "--outdir", out, place / "clone", cwd=place)
    return out


@pytest.fixture(scope="module")
def programs(dist: Path) -> Path:
    """Programs of an environment that has the wheel and its requirements."""
    venv = dist.parent / "venv"
    run(sys.executable, "-m", "venv", venv, cwd=dist)
    (wheel,) = dist.glob("*.whl")
    run(venv / "bin" / "python", "-m", "pip", "install", "--quiet", wheel, cwd=dist)
    return venv / "bin"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    listen = f"127.79.{random.randint(0, 255)}.{random.randint(1, 254)}:8480"
    (tmp_path / "rsfilter.toml").write_text(CONFIG.format(listen=listen))
    (tmp_path / "truth.json").write_text(json.dumps({"hosts": [OWNER]}))
    (tmp_path / "listen").write_text(listen)
    return tmp_path


def test_archives_hold_what_they_need(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    assert wheel.name.startswith(f"rsfilter-{rsfilter.__version__}-cp311-abi3-linux_")
    inside = set(zipfile.ZipFile(wheel).namelist())
    data = f"rsfilter-{rsfilter.__version__}.data/data/share/doc/rsfilter/"
    for directory in (ROOT / "rsfilter/web/static", ROOT / "rsfilter/audit/templates"):
        files = {str(file.relative_to(ROOT)) for file in directory.rglob("*") if file.is_file()}
        assert files <= inside
    assert {data + "truth.schema.json", data + "rsfilter.example.toml"} <= inside
    assert not {name for name in inside if name.startswith(("tests/", "docs/"))}
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "CHANGELOG.md", "Makefile", ".ci/packages", "tests/conftest.py"} <= names
    assert {"rsfilter/rtr/librtr_shim.c", "docs/README.md"} <= names


def test_the_bill_of_materials_names_what_a_route_server_gets(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    run(sys.executable, ROOT / "packaging" / "sbom.py", wheel, dist, cwd=dist)
    text = (dist / f"rsfilter-{rsfilter.__version__}.cdx.json").read_text()
    assert str(dist.parent) not in text
    parts = {part["name"].lower(): part for part in json.loads(text)["components"]}
    assert {"exabgp", "aiohttp", "duckdb", "msgspec", "psycopg", "librtr", "uplot"} <= parts.keys()
    assert not {"pip", "setuptools", "pytest", "rsfilter"} & parts.keys()
    assert all(part["licenses"] for part in parts.values())
    assert parts["exabgp"]["version"].startswith("5.0.")


def test_the_program_prints_its_version(programs: Path, site: Path) -> None:
    output = run(programs / "rsfilter", "--version", cwd=site)
    assert output == f"rsfilter {rsfilter.__version__}\n"
    where = run(programs / "python", "-c", "import rsfilter; print(rsfilter.__file__)", cwd=site)
    assert Path(where).is_relative_to(programs.parent)


def test_the_installed_program_checks_and_replays(programs: Path, site: Path) -> None:
    assert "hypervisors" in run(programs / "rsfilter", "check", cwd=site)
    lines = state("192.0.2.10", 65200, "up") + state("198.51.100.1", 65001, "up")
    lines += announce("198.51.100.1", 65001, ["203.0.113.1/32", "203.0.113.99/32"])
    (site / "lines").write_bytes(lines)
    run(programs / "rsfilter", "replay", "--audit", "replayed", "lines", cwd=site)
    output = run(
        *(programs / "rsfilter", "audit", "query", "--directory", "replayed", "--json"), cwd=site
    )
    records = [json.loads(line) for line in output.splitlines()]
    assert {(r["prefix"], r["verdict"]) for r in records if "prefix" in r} == {
        ("203.0.113.1/32", "accepted"),
        ("203.0.113.99/32", "rejected"),  # no host owns it
    }


def test_the_page_is_served(programs: Path, site: Path) -> None:
    """The binding of librtr loads, too."""
    run(programs / "python", "-c", "import rsfilter.rtr.librtr", cwd=site)
    base = f"http://{(site / 'listen').read_text()}"
    with subprocess.Popen(
        [programs / "rsfilter", "run", "-c", "rsfilter.toml"],
        cwd=site,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            eventually(lambda: None if get(base + "/") else "nobody serves the page")
            page = get(base + "/") or ""
            assert "<title>" in page
            for name in ("app.js", "app.css"):
                assert name in page
                assert get(f"{base}/static/{name}")
        finally:
            assert process.stdin
            process.stdin.close()  # as ExaBGP ends it
            assert process.wait(DEADLINE_S) == 0


def get(url: str) -> str | None:
    """Return the page that is served there; None if no server listens yet."""
    try:
        with urlopen(url, timeout=DEADLINE_S) as answer:
            return str(answer.read().decode())
    except URLError:
        return None
