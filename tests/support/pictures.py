"""Pictures of the page for docs/images, taken from a site that resembles a real one.

    PYTHONPATH=tests .venv/bin/python -m support.pictures docs/images

60 hypervisors and 12 storage nodes, two routers. One host hijacks, one has guests that truth allows
to no host, one is down, one never came, one storage node is lost and its routes are kept.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from signal import SIGCONT, SIGSTOP

from playwright.sync_api import Page, expect, sync_playwright
from support.audit_samples import write_log
from support.past_day import PastDay
from support.speaker import Speaker, announce, state, withdraw

CONFIG = """
[route_server]
name = "rs1.example.net"
asn = 65100
router_id = "192.0.2.100"
local_address = "192.0.2.100"

[[hosts]]
name = "hypervisors"
neighbors = ["198.51.100.0/25"]

[[hosts]]
name = "storage"
neighbors = ["198.51.100.128/26"]
stale_time = 3600

[[routers]]
name = "leaves"
neighbors = ["192.0.2.10", "192.0.2.11"]
asn = 65200

[truth]
file = "truth.json"
absent_after = 20

[guard]
max_loss_percent = 5
"""

ROUTERS = {"192.0.2.10": 65200, "192.0.2.11": 65200}
HIJACKER, STRANGER, DOWN, ABSENT, LOST = "hv7", "hv12", "hv23", "hv31", "st4"
SLOWLY = 60_000

Host = tuple[str, int, list[str]]
"""Address, ASN, guests."""


def hosts() -> dict[str, Host]:
    """All hosts by name."""
    found: dict[str, Host] = {}
    for n in range(1, 61):
        guests = [f"203.0.113.{4 * (n - 1) + k}/32" for k in range(1, 5)]
        found[f"hv{n}"] = (f"198.51.100.{n}", 65000 + n, guests)
    for n in range(1, 13):
        found[f"st{n}"] = (f"198.51.100.{128 + n}", 65100 + n, [f"203.0.113.{240 + n}/32"])
    return found


def truth(revision: str, *without: str) -> str:
    """Truth; the hosts of `without` have lost their guests."""
    entries = [
        {
            "name": name,
            "asn": asn,
            "neighbors": [address],
            "prefixes": [] if name in without else guests,
        }
        for name, (address, asn, guests) in hosts().items()
    ]
    return json.dumps({"hosts": entries, "metadata": {"revision": revision}})


def begins(speaker: Speaker) -> None:
    """All hosts that come are there; one of them hijacks, and one has guests of its own."""
    known = hosts()
    for router, asn in ROUTERS.items():
        speaker.write(state(router, asn, "up"))
    for name, (address, asn, guests) in known.items():
        if name != ABSENT:
            speaker.write(state(address, asn, "up"))
            speaker.write(announce(address, asn, guests))
    address, asn, _ = known[HIJACKER]
    speaker.write(announce(address, asn, known["hv3"][2][:1]))
    address, asn, _ = known[STRANGER]
    speaker.write(announce(address, asn, [f"192.0.2.{n}/32" for n in range(201, 207)]))
    speaker.wait("all announced", lambda: len(speaker.tables["192.0.2.10"]) == 248)
    address, asn, guests = known["hv40"]
    speaker.write(withdraw(address, asn, guests[:1]))
    speaker.write(announce(address, asn, guests[:1]))


def loses(speaker: Speaker) -> None:
    """Two hosts are lost."""
    for name, reason in ((DOWN, "hold timer expired"), (LOST, "peer reset")):
        address, asn, _ = hosts()[name]
        speaker.write(state(address, asn, "down", reason))


class Camera:
    """Shows a view and takes its picture."""

    def __init__(self, page: Page, directory: Path) -> None:
        self.page = page
        self._directory = directory

    def takes(self, name: str, where: str, text: str, *, is_whole: bool = False) -> None:
        """A picture of the view at this address, once it has this text."""
        self.page.goto(f"/#/{where}")
        expect(self.page.locator("main")).to_contain_text(text, timeout=SLOWLY)
        expect(self.page.locator("header")).to_contain_text("as of", timeout=SLOWLY)
        self.shoots(name, is_whole=is_whole)

    def shoots(self, name: str, *, is_whole: bool = False) -> None:
        """A picture of what is there now; whole: what does not fit the window too."""
        self.page.wait_for_timeout(400)  # canvases are drawn in the next frames
        self.page.screenshot(path=self._directory / f"page-{name}.png", full_page=is_whole)


def pictures(camera: Camera, speaker: Speaker) -> None:
    """Every picture, one after the other."""
    page, place = camera.page, speaker.config.parent
    camera.takes("overview", "", f"{ABSENT} (198.51.100.31) is expected by truth and absent.")
    camera.takes("picture", "picture", ABSENT)
    camera.takes("neighbors", "neighbors", DOWN)
    camera.takes("routes", "routes?verdict=rejected", "origin_not_found")
    camera.takes("route", "route/203.0.113.9%2F32", "Owner by truth")
    camera.takes("audit", "audit?reason=origin_invalid_asn", HIJACKER)
    bad = place / "new.json"
    bad.write_text(truth("r42", *(f"hv{n}" for n in range(41, 47))))
    page.goto("/#/impact")
    page.locator("#file").set_input_files(bad)
    expect(page.locator("main")).to_contain_text("24 lost", timeout=SLOWLY)
    camera.shoots("impact")
    bad.rename(place / "truth.json")
    expect(page.locator("#state")).to_contain_text("24 held", timeout=SLOWLY)
    camera.takes("guard", "guard", "Triggered by a change of truth")
    camera.takes("plots", "plots?since=24h", "Verdicts per", is_whole=True)
    page.emulate_media(color_scheme="dark")
    camera.takes("dark", "", "got another verdict")
    page.emulate_media(color_scheme="light")
    os.kill(speaker.process.pid, SIGSTOP)
    expect(page.locator("body")).to_contain_text("No answer", timeout=SLOWLY)
    camera.shoots("lost")
    os.kill(speaker.process.pid, SIGCONT)


def main(directory: Path) -> None:
    """Take all pictures into the directory."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        place = Path(name)
        (place / "rsfilter.toml").write_text(CONFIG)
        (place / "truth.json").write_text(truth("r41"))
        write_log(place / "audit", *PastDay(hosts(), HIJACKER, time.time() - 60).entries())
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[] if os.geteuid() else ["--no-sandbox"]
        )
        with Speaker(place / "rsfilter.toml", ROUTERS) as speaker:
            begins(speaker)
            time.sleep(27)  # longer than absent_after, and the check that follows
            loses(speaker)
            page = browser.new_page(
                base_url=f"http://{speaker.http}", viewport={"width": 1440, "height": 860}
            )
            page.goto("/")
            pictures(Camera(page, directory), speaker)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
