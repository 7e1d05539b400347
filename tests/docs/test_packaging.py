"""The Debian package and the image, as far as that shows without building them.

`make deb-check` (as root, minutes) builds, installs, upgrades and removes the package.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from support.places import ROOT

PACKAGING = ROOT / "packaging"
CONTAINERFILE = PACKAGING / "Containerfile"
DEB = PACKAGING / "deb"


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Containerfile, in order: name, and the rest on one line."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(name, rest) for line in lines if line for name, _, rest in [line.partition(" ")]]


def test_the_image_runs_as_a_user_without_rights() -> None:
    found = dict(instructions())  # the last of each
    uid = re.search(r"useradd [^&]*--uid (\d+)", found["RUN"])
    assert uid
    assert found["USER"] == f"{uid[1]}:{uid[1]}"


def test_the_image_fetches_nothing_but_debian_packages() -> None:
    """The package that the first stage builds has all that pip needs."""
    names = [name for name, _ in instructions()]
    assert "ADD" not in names
    last_stage = instructions()[len(names) - names[::-1].index("FROM") :]
    assert not [rest for _, rest in last_stage if re.search(r"\b(pip|curl|wget|git)\b", rest)]


def test_no_orchestrator_restarts_the_image_for_its_health() -> None:
    """A restart would end the sessions of all hosts; and signals reach ExaBGP, not a shell."""
    found = dict(instructions())
    assert "HEALTHCHECK" not in found
    assert found["ENTRYPOINT"] == '["/usr/local/bin/route-server"]'
    assert (PACKAGING / "route-server").read_text().splitlines()[-1].startswith("exec rsfilter")


def test_what_was_built_here_does_not_get_into_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "build", "dist", "**/*.so"} <= set(ignored)


def test_hadolint_has_nothing_to_complain_about() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    checked = subprocess.run([hadolint, CONTAINERFILE], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_an_upgrade_of_the_package_restarts_nothing() -> None:
    scripts = {name: (DEB / name).read_text() for name in ("postinst", "prerm", "postrm")}
    for name, text in scripts.items():
        assert not re.search(r"\b(re)?start\b|reload-or|invoke", text.split("set -e")[1]), name
        stops = [line for line in text.splitlines() if "systemctl stop" in line]
        assert bool(stops) == (name == "prerm")
    assert 'if [ "$1" = remove ]' in scripts["prerm"]


def test_cleaning_up_keeps_the_evidence() -> None:
    removed = re.findall(r"rm -rf (\S+)", (DEB / "postrm").read_text())
    assert removed == ["/etc/rsfilter", "/var/lib/rsfilter"]
    assert re.search(
        r"find /var/lib/rsfilter -name 'audit-\*'.*?else\s+rm -rf /var/lib/rsfilter",
        (DEB / "postrm").read_text(),
        re.DOTALL,
    )
