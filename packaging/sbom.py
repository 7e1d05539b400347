"""Write the bill of materials of a release, in CycloneDX: `packaging/sbom.py WHEEL DIRECTORY`.

The wheel is installed with the fleet's dependencies into an environment of its own: the list has
what a route server gets, each with version and licence. Two parts are no Python packages and are
added: the library of the page's plots, in the wheel, and librtr, which Debian provides.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GENERATOR = "cyclonedx-bom>=7,<8"
PLOTS = ROOT / "rsfilter" / "web" / "static" / "vendor" / "uPlot.iife.min.js"


def main(wheel: Path, directory: Path) -> None:
    """Write `rsfilter-VERSION.cdx.json` into the directory."""
    version = wheel.name.split("-")[1]
    with tempfile.TemporaryDirectory() as place:
        installed = environment(Path(place, "installed"), f"{wheel.resolve()}[fleet]")
        subprocess.run(
            [installed, "-m", "pip", "uninstall", "-qy", "pip", "setuptools"], check=True
        )
        tools = environment(Path(place, "tools"), GENERATOR)
        written = Path(place, "bom.json")
        project = ["--pyproject", ROOT / "pyproject.toml", "--output-reproducible"]
        generate = [tools.parent / "cyclonedx-py", "environment", installed, *project]
        subprocess.run([*generate, "--output-file", written], check=True)
        bom = json.loads(written.read_text())
    bom["metadata"]["component"]["version"] = version
    bom["components"] = [part for part in bom["components"] if part["name"] != "rsfilter"]
    bom["components"] += others()
    text = json.dumps(bom, indent=1, sort_keys=True) + "\n"
    (directory / f"rsfilter-{version}.cdx.json").write_text(text)


def environment(place: Path, package: str) -> Path:
    """Make a virtual environment with a package. Return its Python."""
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    python = place / "bin" / "python"
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", package], check=True)
    return python


def others() -> list[dict[str, Any]]:
    """Return the components that are no Python packages."""
    plots = re.search(r"uPlot \(v([\d.]+)\)", PLOTS.read_text()[:200])
    assert plots, f"{PLOTS} does not begin with its version"
    return [
        component("uplot", "MIT", f"pkg:npm/uplot@{plots[1]}", plots[1]),
        component("librtr", "MIT", "pkg:deb/debian/librtr0"),
    ]


def component(name: str, license_id: str, purl: str, version: str = "") -> dict[str, Any]:
    """Return a component, as CycloneDX describes it."""
    found = {"type": "library", "name": name, "purl": purl, "bom-ref": purl}
    licenses = [{"license": {"id": license_id}}]
    return found | {"licenses": licenses} | ({"version": version} if version else {})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
