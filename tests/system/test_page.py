"""The page at `/`, in Chromium, over a running filter."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from support.speaker import Speaker, announce, withdraw
from support.web_site import AFTER, HV1, ROUTER, TOKEN, hosts, running_site

pytestmark = pytest.mark.lab

QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-features=LocalNetworkAccessChecks",  # newer ones would spare us hostile requests
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
]

SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""A directory: the pictures of docs/ are made by these tests."""


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Speaker]:
    with running_site(tmp_path_factory.mktemp("a site")) as speaker:
        yield speaker


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "make test installs Chromium"
    with sync_playwright() as playwright:
        # Root has no sandbox of Chromium's; what is shown here is our own page only.
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=path, args=[*QUIET, *sandbox])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, speaker: Speaker) -> Iterator[Page]:
    """The page, watched: no error in its console, nothing asked of anybody else."""
    context = browser.new_context(
        base_url=f"http://{speaker.http}", viewport={"width": 1280, "height": 900}
    )
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on(
        "request",
        lambda asked: None if speaker.http in asked.url else problems.append(asked.url),
    )
    page.goto("/")
    yield page
    context.close()
    assert not [text for text in problems if "status of 4" not in text]


def picture(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


def cell(page: Page, text: str) -> None:
    expect(
        page.locator("main td", has_text=re.compile(f"^{re.escape(text)}$")).first
    ).to_be_visible()


def test_one_sees_first_whether_all_is_well(page: Page) -> None:
    expect(page.locator("#state")).to_contain_text("healthy")
    expect(page.locator("#state")).to_contain_text("truth r1")
    expect(page.locator(".card", has_text="accepted").locator("strong")).to_have_text("3")
    expect(page.locator(".card", has_text="rejected").locator("strong")).to_have_text("1")
    expect(page.locator(".card", has_text="host sessions up").locator("strong")).to_have_text("2")
    expect(page.locator("main")).to_contain_text("revision r1")
    expect(page.locator("svg.plot")).to_have_attribute(
        "aria-label", re.compile("origin_invalid_asn 1")
    )
    cell(page, "203.0.113.4/32")
    picture(page, "page-overview")


def test_what_changes_comes_by_itself(page: Page, speaker: Speaker) -> None:
    expect(page.locator("#state")).to_contain_text("healthy")
    speaker.write(announce(*HV1, ["203.0.113.99/32"]))
    cell(page, "203.0.113.99/32")
    expect(page.locator(".card", has_text="rejected").locator("strong")).to_have_text("2")
    speaker.write(withdraw(*HV1, ["203.0.113.99/32"]))
    expect(page.locator(".card", has_text="rejected").locator("strong")).to_have_text("1")


def test_neighbors(page: Page) -> None:
    page.get_by_role("link", name="Neighbors").click()
    row = page.locator("main tr", has_text="198.51.100.1")
    expect(row).to_contain_text("hv1")
    expect(row).to_contain_text("up")
    expect(row).to_contain_text("3 of 1,000")
    expect(page.locator("main tr", has_text=ROUTER)).to_contain_text("settled, 3 told")
    picture(page, "page-neighbors")


def test_routes_by_filter(page: Page) -> None:
    page.get_by_role("link", name="Routes").click()
    expect(page.locator("main tbody tr")).to_have_count(4)
    page.get_by_label("verdict").select_option("rejected")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("main tbody tr")).to_have_count(1)
    cell(page, "origin_invalid_asn, 203.0.113.0/28-32 AS65001")
    page.get_by_label("verdict").select_option("")
    page.get_by_label("prefix", exact=True).fill("203.0.113.2/31")
    page.get_by_label("match").select_option("covered")
    page.keyboard.press("Enter")
    expect(page.locator("main tbody tr")).to_have_count(2)
    picture(page, "page-routes")


def test_one_routes_story(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("203.0.113.4")
    page.keyboard.press("Enter")
    expect(page.locator("main h2", has_text="from hv2")).to_contain_text("rejected")
    origin = page.locator("main tr", has_text="origin_invalid_asn:")
    expect(origin).to_contain_text("✗")
    expect(page.locator("main")).to_contain_text("203.0.113.0/28-32 AS65001")
    expect(page.locator("main")).to_contain_text("nothing")
    picture(page, "page-route")


NARROW = {"width": 380, "height": 800}


@pytest.mark.parametrize("where", ["#/route/203.0.113.4%2F32", "#/routes", "#/", "#/neighbors"])
def test_nothing_is_outside_of_a_narrow_window(page: Page, where: str) -> None:
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    page.goto(f"/{where}")
    expect(page.locator("main tbody tr").first).to_be_visible()
    assert page.evaluate(OUTSIDE) == []


OUTSIDE = """() => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const outside = [];
    while (texts.nextNode()) {
        const range = document.createRange();
        range.selectNodeContents(texts.currentNode);
        if (range.getBoundingClientRect().right > innerWidth) outside.push(range.toString());
    }
    return outside;
}"""
"""Texts that reach past the window's right edge."""


def test_an_unknown_reason_leaves_no_button_behind(page: Page) -> None:
    page.goto("/#/routes?reason=nonsense")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()


def test_a_prefix_that_nobody_announces(page: Page) -> None:
    page.goto("/#/route/192.0.2.77%2F32")
    expect(page.get_by_role("alert")).to_contain_text("nobody announces 192.0.2.77/32")


def test_the_impact_of_a_truth_that_is_dropped_in(page: Page, tmp_path: Path) -> None:
    new = tmp_path / "new.json"
    new.write_text(json.dumps(AFTER))
    page.get_by_role("link", name="Impact").click()
    page.locator("#file").set_input_files(new)
    expect(page.locator("main")).to_contain_text("1 lost, 1 gained of 4 routes")
    lost = page.locator("main tr", has_text="203.0.113.3/32")
    expect(lost).to_contain_text("rejected")
    picture(page, "page-impact")
    new.write_text('{"hosts": [{"name": "hv1"}]}')
    page.locator("#file").set_input_files(new)
    expect(page.get_by_role("alert")).to_contain_text("/hosts/0")


def test_the_audit_log_is_searched(page: Page) -> None:
    page.get_by_role("link", name="Audit").click()
    cell(page, "session up")
    page.get_by_label("reason").fill("origin_invalid_asn")
    page.get_by_label("host").fill("hv2")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("main tbody tr")).to_have_count(1)
    cell(page, "203.0.113.4/32")
    picture(page, "page-audit")


def test_keys_lead_everywhere(page: Page) -> None:
    page.keyboard.press("2")
    expect(page.locator("nav a[aria-current]")).to_have_text("Neighbors")
    page.keyboard.press("6")
    expect(page.locator("nav a[aria-current]")).to_have_text("Audit")


def test_no_line_is_drawn_around_a_page_that_takes_the_focus(page: Page) -> None:
    page.keyboard.press("2")
    expect(page.locator("main")).to_be_focused()
    outline = "getComputedStyle(document.getElementById('content')).outlineStyle"
    assert page.evaluate(outline) == "none"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    expect(page.locator("#state")).to_contain_text("healthy")
    picture(page, f"page-{scheme}")


def test_what_a_host_says_is_text(page: Page) -> None:
    """Whatever the API answers becomes text: a name with markup in it does nothing."""
    evil = "<img src=x onerror=alert(1)>"
    page.route(
        "**/api/v1/neighbors*",
        lambda route: route.fulfill(
            json={"neighbors": [NEIGHBOR | {"host": evil, "group": evil, "neighbor": evil}]}
        ),
    )
    page.get_by_role("link", name="Neighbors").click()
    expect(page.locator("main td", has_text=evil).first).to_be_visible()
    assert page.locator("main img").count() == 0


def test_a_long_name_leaves_room_for_the_other_columns(page: Page) -> None:
    long = "hypervisor-" * 20
    page.route(
        "**/api/v1/neighbors*",
        lambda route: route.fulfill(
            json={"neighbors": [NEIGHBOR | {"host": long, "group": "h", "neighbor": HV1[0]}]}
        ),
    )
    page.get_by_role("link", name="Neighbors").click()
    name = page.get_by_title(long)
    expect(name).to_be_visible()
    box = name.bounding_box()
    assert box is not None
    assert box["width"] < 300


NEIGHBOR = {
    "role": "host",
    "asn": 65001,
    "is_up": True,
    "since": "2026-11-23T10:00:00.000000Z",
    "routes": dict.fromkeys(("total", "accepted", "rejected", "held", "stale"), 0),
    "max_prefixes": 10,
    "router": None,
}


def test_the_guard_shows_what_it_holds_and_lets_go(page: Page, speaker: Speaker) -> None:
    """The last test here: it takes the routes away."""
    nothing = hosts(hv1=["203.0.113.8/29"], hv2=["203.0.113.16/28"])
    new = speaker.config.parent / "new.json"
    new.write_text(json.dumps(nothing))
    new.rename(speaker.config.parent / "truth.json")
    expect(page.locator("#state")).to_contain_text("3 held")
    expect(page.locator("#state .warning")).to_have_text("healthy, 1 warning")
    page.get_by_role("link", name="Guard", exact=True).click()
    expect(page.locator("main tbody tr")).to_have_count(3)
    picture(page, "page-guard")
    page.get_by_label("token").fill("wrong" * 4)
    page.get_by_role("button", name="Let go").click()
    expect(page.get_by_role("alert")).to_contain_text("needs the token")
    page.get_by_label("token").fill(TOKEN)
    page.get_by_role("button", name="Let go").click()
    expect(page.locator("main")).to_contain_text("3 routes were let go")


HOSTILE = """<!doctype html><title>a page of the Web</title>
<img id="story" src="http://{api}/api/v1/routes/203.0.113.1">
<form method="post" enctype="text/plain" action="http://{api}/api/v1/impact">
<input name='{{"roas":[],"a":"' value='"}}'></form>
<a href="http://{api}/#/routes">the filter</a>"""


def test_a_page_of_another_site_makes_the_filter_do_nothing(
    browser: Browser, speaker: Speaker
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route(
        "http://evil.example/*",
        lambda route: route.fulfill(
            body=HOSTILE.format(api=speaker.http), content_type="text/html"
        ),
    )
    page.goto("http://evil.example/")
    page.wait_for_load_state("networkidle")
    page.evaluate("document.forms[0].submit()")
    page.wait_for_url("**/api/v1/impact")
    with urlopen(f"http://{speaker.http}/metrics") as answer:  # the browser hides what it got
        metrics = answer.read().decode()
    for path in ("/api/v1/routes/{prefix}", "/api/v1/impact"):
        assert f'rsfilter_http_requests_total{{route="{path}",status="403"}} 1.0' in metrics
    page.goto("http://evil.example/")
    page.get_by_role("link", name="the filter").click()  # as a wiki links to it
    expect(page.locator("#state")).to_contain_text("healthy")
    context.close()
