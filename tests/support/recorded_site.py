"""The audit log and the truth file of a site that is recorded."""

from __future__ import annotations

import json
from pathlib import Path

from support.filter_site import TRUTH


def audit(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.glob("*.jsonl")))


class TruthFile:
    """The site's truth, replaced in one step."""

    def __init__(self, site: Path) -> None:
        self._site = site

    def gives_everything_to(self, asn: int) -> None:
        roas = [{**roa, "asn": asn} for roa in TRUTH["roas"]]
        new = self._site / "new.json"
        new.write_text(json.dumps({"roas": roas}))
        new.replace(self._site / "truth.json")
