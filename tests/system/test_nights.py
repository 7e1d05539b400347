"""Five bad nights, from the page alone: what someone on call clicks and types, and what they see.

Each counts the acts, so that no night gets longer unnoticed. None reads the clock.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright
from support.audit_samples import DAY, verdict_change, write_log
from support.speaker import Speaker
from support.web_site import HV2, hosts, running_site

pytestmark = pytest.mark.lab

expect.set_options(timeout=30_000)

OWNED = {f"hv{n}": [f"203.0.113.{16 * (n - 1)}/28"] for n in (1, 2, 3)}
"""hv3 never comes."""

HIJACKED = "203.0.113.7/32"


@pytest.fixture(scope="module")
def hijacked_at() -> float:
    """Seconds since the epoch: half an hour after the midnight of five days ago."""
    return time.time() // DAY * DAY - 5 * DAY + 1800


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory, hijacked_at: float) -> Iterator[Speaker]:
    place = tmp_path_factory.mktemp("a night")
    hijack = verdict_change(HIJACKED, neighbor=HV2[0], host="hv2", asn=HV2[1])
    write_log(place / "audit", (hijacked_at, hijack))
    with running_site(place, truth=hosts(**OWNED), absent_after=8) as speaker:
        yield speaker


class Person:
    """Someone on call: clicks and types, and counts both."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.actions = 0

    def clicks(self, what: Locator) -> None:
        self.actions += 1
        what.click()

    def types(self, text: str, where: Locator) -> None:
        self.actions += 1
        where.fill(text)

    def chooses(self, option: str, of: Locator) -> None:
        self.actions += 1
        of.select_option(option)

    def searches(self, text: str) -> None:
        self.types(text, self.page.get_by_role("searchbox"))
        self.actions += 1
        self.page.keyboard.press("Enter")

    def sees(self, *texts: str, where: str = "main") -> None:
        for text in texts:
            expect(self.page.locator(where)).to_contain_text(text)


@pytest.fixture
def person(speaker: Speaker) -> Iterator[Person]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[] if os.geteuid() else ["--no-sandbox"]
        )
        page = browser.new_page(base_url=f"http://{speaker.http}")
        page.goto("/")
        yield Person(page)
        browser.close()


def test_the_page_leads_to_the_cause_of_a_missing_guest(person: Person) -> None:
    """203.0.113.4 is not reachable: another host has it, and its owner does not announce it."""
    person.searches("203.0.113.4")
    person.sees("rejected from hv2 (198.51.100.2, AS65002)", "origin_invalid_asn", "How to fix it")
    person.sees("hv1 (AS65001) by 203.0.113.0/28-32 AS65001", "does not announce it")
    assert person.actions == 2


def test_the_hijack_of_last_week(person: Person, hijacked_at: float) -> None:
    """Find the host that announced it, the time, the decision, and the data behind it."""
    page, day = person.page, time.strftime("%A", time.gmtime(hijacked_at)).lower()
    person.clicks(page.get_by_role("link", name="Audit"))
    person.chooses("origin_invalid_asn", page.get_by_label("reason"))
    person.types(day, page.get_by_label("since"))
    person.clicks(page.get_by_role("button", name="Search"))
    row = page.locator("main tbody tr", has_text=HIJACKED)
    expect(row).to_contain_text(time.strftime("%Y-%m-%d 00:30:00Z", time.gmtime(hijacked_at)))
    expect(row).to_contain_text("Rejected for origin_invalid_asn: hv2 (198.51.100.2) announced it.")
    expect(row).to_contain_text("3f2a1c")
    person.clicks(row.get_by_role("link", name=HIJACKED))
    person.sees("No host announces this prefix now.", "hv1 (AS65001)", "hv2 (198.51.100.2)")
    assert person.actions == 5


def test_the_page_names_the_silent_host_first(person: Person) -> None:
    """The first line of the first view names it."""
    first = person.page.locator("main ul.findings li").first
    expect(first).to_contain_text("1 host session absent: hv3")
    person.clicks(first.get_by_role("link", name="hv3"))
    person.sees("hv3: absent", "Truth expects this host, and it has no session since")
    person.sees("is expected by truth and absent.")
    assert person.actions == 1
    person.searches(OWNED["hv3"][0].replace("/28", ""))
    person.sees("hv3 (AS65003)", "absent; does not announce it")
    expect(person.page.locator("main ul.owners")).not_to_contain_text("down")


def test_the_page_shows_that_the_filter_hangs(person: Person, speaker: Speaker) -> None:
    expect(person.page.locator("#asof")).to_contain_text("as of")
    speaker.process.send_signal(signal.SIGSTOP)
    try:
        person.sees("No answer from the filter", "Last answer at", where="#lost")
    finally:
        speaker.process.send_signal(signal.SIGCONT)
    expect(person.page.locator("#lost")).to_be_hidden()
    assert person.actions == 0


def deploys(place: Path, text: str) -> None:
    (place / "new.json").write_text(text)
    (place / "new.json").rename(place / "truth.json")


def test_a_bad_truth_file_is_refused_or_its_losses_are_held(
    person: Person, speaker: Speaker
) -> None:
    """A file that is no truth is refused; one that loses guests is previewed, and then held."""
    page, place = person.page, speaker.config.parent
    deploys(place, '{"hosts": [')
    person.sees("truth refused", "truth.json")
    lost = json.dumps(hosts(**OWNED | {"hv1": []}))
    (place / "bad.json").write_text(lost)
    person.clicks(page.get_by_role("link", name="Impact"))
    page.locator("#file").set_input_files(place / "bad.json")
    person.sees("3 lost", "The guard would hold the losses.", "removed")
    deploys(place, lost)
    person.clicks(page.get_by_role("link", name="3 held"))
    person.sees("Triggered by a change of truth", "3 of 3 accepted routes", "Data before: truth r1")
    person.sees("Correct the data and the hold ends by itself.")
    deploys(place, json.dumps(hosts(**OWNED)))
    person.sees("The guard holds nothing.")
    assert person.actions == 2
