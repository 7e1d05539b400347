"""The two files that a Debian package has to have: its changelog, and who owns what is in it.

python3 papers.py VERSION SITE-PACKAGES DIRECTORY
"""

from __future__ import annotations

import gzip
import os
import sys
from email.parser import HeaderParser
from email.utils import formatdate
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OWNER = "rsfilter maintainers <maintainers@rsfilter.invalid>"


def changelog(version: str, epoch: float) -> str:
    """Return one entry: what changed is in CHANGELOG.md."""
    date = formatdate(epoch, usegmt=False)
    entry = f"  * This release; CHANGELOG.md.gz has what changed.\n\n -- {OWNER}  {date}\n"
    return f"rsfilter ({version}) stable; urgency=medium\n\n{entry}"


def licences(packages: Path) -> str:
    """Return a line for each distribution that is inside."""
    lines = []
    for metadata in sorted(packages.glob("*.dist-info/METADATA")):
        found = HeaderParser().parsestr(metadata.read_text(encoding="utf-8"))
        terms = [c for c in found.get_all("Classifier", []) if c.startswith("License ::")]
        licence = found["License-Expression"] or "; ".join(c.split(" :: ")[-1] for c in terms)
        licence = licence or (found["License"] or "see its own files").splitlines()[0]
        lines.append(f"  {found['Name']} {found['Version']}: {licence}\n")
    return "".join(lines)


def main() -> None:
    version, packages, directory = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    epoch = float(os.environ["SOURCE_DATE_EPOCH"])
    with gzip.GzipFile(directory / "changelog.gz", "wb", compresslevel=9, mtime=0) as file:
        file.write(changelog(version, epoch).encode())
    home = "/" + str(packages).partition("/root/")[2]
    text = (
        f"rsfilter, in {home}/rsfilter:\n\n{(ROOT / 'LICENSE').read_text()}\n"
        f"Beside it are, as their authors publish them (full texts: {home}/*.dist-info;\n"
        "of the LGPL: /usr/share/common-licenses/LGPL-3):\n\n"
    )
    (directory / "copyright").write_text(text + licences(packages), encoding="utf-8")


if __name__ == "__main__":
    main()
