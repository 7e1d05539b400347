"""The page at `/`, in Chromium, over a running filter."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from support.speaker import Speaker, announce, state, withdraw
from support.web_site import AFTER, HV1, HV2, ROUTER, TOKEN, hosts, running_site

from rsfilter import __version__

pytestmark = pytest.mark.lab

expect.set_options(timeout=30_000)
"""Milliseconds: some things take seconds by design, and a busy machine is slow."""

QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-features=LocalNetworkAccessChecks",  # newer ones would spare us hostile requests
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]


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
    """The page, watched: no error in its console, no request to any other server."""
    context = browser.new_context(
        base_url=f"http://{speaker.http}", viewport={"width": 1280, "height": 900}
    )
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: problems.append(message.text) if message.type == "error" else None,
    )
    page.on(
        "request",
        lambda request: None if speaker.http in request.url else problems.append(request.url),
    )
    page.goto("/")
    yield page
    context.close()
    assert not [text for text in problems if not re.search(EXPECTED, text)]


EXPECTED = r"status of [45]|ERR_INTERNET_DISCONNECTED"
"""Chromium's own words for answers that a test wants."""


def cell(page: Page, text: str) -> None:
    expect(
        page.locator("main td", has_text=re.compile(f"^{re.escape(text)}$")).first
    ).to_be_visible()


def test_what_is_wrong_comes_first_and_with_names(page: Page) -> None:
    """hv2 announces a prefix of hv1: all that it announces is rejected."""
    expect(page.locator("#state")).to_contain_text("1 problem")
    expect(page.locator("#state")).to_contain_text("truth r1")
    first = page.locator("main ul.findings li").first
    expect(first).to_contain_text("1 of 4 routes rejected")
    expect(first).to_contain_text("hv2")
    expect(page.locator(".card", has_text="accepted").locator("strong")).to_have_text("3")
    expect(page.locator(".card", has_text="rejected").locator("strong")).to_have_text("1")
    expect(page.locator(".card", has_text="host sessions up").locator("strong")).to_have_text("2")
    expect(page.locator("main")).to_contain_text("revision r1")
    cell(page, "203.0.113.4/32")


def test_header_and_title_name_the_filter(page: Page) -> None:
    identity = page.locator("#identity")
    expect(identity).to_contain_text("AS65100")
    expect(identity).to_contain_text("192.0.2.100")
    expect(identity).to_contain_text(f"rsfilter {__version__}")
    name = page.locator("#name").inner_text()
    who = f"{name} · AS65100 · 192.0.2.100 · rsfilter {__version__}"
    expect(page).to_have_title(f"(1 problem) Overview · {who}")
    page.keyboard.press("3")
    expect(page).to_have_title(f"(1 problem) Neighbors · {who}")


def test_a_hung_filter_is_never_shown_as_healthy(page: Page, speaker: Speaker) -> None:
    expect(page.locator("#asof")).to_contain_text("as of")
    speaker.process.send_signal(signal.SIGSTOP)
    try:
        expect(page.locator("#lost")).to_contain_text("No answer")
        expect(page.locator("#lost")).to_contain_text("Last answer at")
        expect(page.locator("body")).to_have_class(re.compile("lost"))
        expect(page).to_have_title(re.compile(r"^\(no answer\)"))
        expect(page.locator("#icon")).to_have_attribute("href", "/static/favicon-lost.svg")
        page.keyboard.press("4")  # another view has nothing to show either
        expect(page).to_have_title(re.compile(r"^\(no answer\) Routes"))
        expect(page.locator("#lost")).to_be_visible()
    finally:
        speaker.process.send_signal(signal.SIGCONT)
    expect(page.locator("#lost")).to_be_hidden()
    expect(page.locator("main tbody tr")).to_have_count(4)
    expect(page).to_have_title(re.compile(r"^\(1 problem\) Routes"))


def test_a_filter_that_cannot_be_reached_comes_back_by_itself(page: Page) -> None:
    expect(page.locator("#state")).to_contain_text("1 problem")
    page.context.set_offline(True)
    expect(page.locator("#lost")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator("#lost")).to_be_hidden()


def test_a_lost_host_shows_in_every_view_that_is_open(
    page: Page, browser: Browser, speaker: Speaker
) -> None:
    """Require that all tabs show it, and none of them is loaded again, or touched."""
    context = browser.new_context(base_url=f"http://{speaker.http}")
    tabs = {
        where: context.new_page() for where in ("neighbors", "routes", "route/203.0.113.1%2F32")
    }
    for where, tab in tabs.items():
        tab.goto(f"/#/{where}")
        expect(tab.locator("main")).to_contain_text("hv1")
    speaker.write(state(*HV1, "down", "hold timer expired"))
    try:
        expect(page.locator("main ul.findings")).to_contain_text("1 host session down: hv1")
        expect(page).to_have_title(re.compile(r"^\(\d problems\)"))
        expect(page.locator("#icon")).to_have_attribute("href", "/static/favicon-bad.svg")
        row = tabs["neighbors"].locator("main tr", has_text="198.51.100.1")
        expect(row.locator("td", has_text=re.compile("^down$"))).to_be_visible()
        expect(tabs["routes"].locator("main tbody tr")).to_have_count(1)
        story = tabs["route/203.0.113.1%2F32"].locator("main")
        expect(story).to_contain_text("No host announces this prefix now.")
        expect(story).to_contain_text("the session of hv1 (198.51.100.1) went down")
    finally:
        speaker.write(state(*HV1, "up"))
        speaker.write(announce(*HV1, [f"203.0.113.{n}/32" for n in (1, 2, 3)]))
    expect(tabs["routes"].locator("main tbody tr")).to_have_count(4)
    context.close()


def test_an_error_goes_when_its_cause_is_gone(page: Page) -> None:
    page.route("**/api/v1/neighbors*", lambda route: route.fulfill(status=503, json=BUSY))
    page.keyboard.press("3")
    expect(page.get_by_role("alert")).to_contain_text("come again")
    page.unroute("**/api/v1/neighbors*")
    expect(page.locator("main tbody tr")).to_have_count(3)
    expect(page.locator("main [role=alert]")).to_have_count(0)


def test_a_view_without_an_answer_is_the_only_one_that_shows_it(page: Page) -> None:
    """The filter answers, and this one request hangs: nothing old is shown as current."""
    page.route("**/api/v1/neighbors*", lambda _: None)
    page.keyboard.press("3")
    expect(page.locator("main").get_by_role("alert")).to_contain_text("No answer within 5 s.")
    expect(page.locator("#lost")).to_be_hidden()
    page.unroute("**/api/v1/neighbors*")
    expect(page.locator("main tbody tr")).to_have_count(3)
    expect(page.locator("main [role=alert]")).to_have_count(0)


BUSY = {"error": "busy", "detail": "too many requests: come again"}


def test_what_changes_comes_by_itself(page: Page, speaker: Speaker) -> None:
    expect(page.locator("#state")).to_contain_text("1 problem")
    speaker.write(announce(*HV1, ["203.0.113.99/32"]))
    cell(page, "203.0.113.99/32")
    expect(page.locator(".card", has_text="rejected").locator("strong")).to_have_text("2")
    speaker.write(withdraw(*HV1, ["203.0.113.99/32"]))
    expect(page.locator(".card", has_text="rejected").locator("strong")).to_have_text("1")


def test_a_quiet_filter_gets_few_requests(page: Page) -> None:
    """A status every two seconds, a view every five, the audit log once."""
    counts: Counter[str] = Counter()
    page.on("request", lambda request: counts.update([urlsplit(request.url).path.split("/")[-1]]))
    with page.expect_request(lambda _: counts["status"] >= 5):
        pass
    assert counts["neighbors"] < counts["status"]
    assert counts["audit"] <= 1


def test_the_page_lists_neighbors_with_their_routes(page: Page) -> None:
    page.get_by_role("link", name="Neighbors").click()
    row = page.locator("main tr", has_text="198.51.100.1")
    expect(row).to_contain_text("hv1")
    expect(row).to_contain_text("up")
    expect(row).to_contain_text("3 of 1,000")
    expect(page.locator("main tr", has_text=ROUTER)).to_contain_text("complete, 3 sent")


def test_neighbors_are_sorted_and_filtered_by_the_address_of_the_page(page: Page) -> None:
    page.goto("/#/neighbors?role=host")
    expect(page.locator("main tbody tr")).to_have_count(2)
    page.get_by_role("button", name="rejected").click()
    expect(page).to_have_url(re.compile("sort=rejected"))
    expect(page.locator("main tbody tr").first).to_contain_text("hv1")
    page.get_by_role("button", name="rejected").click()
    expect(page.locator("main tbody tr").first).to_contain_text("hv2")
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("rejected")
    page.go_back()
    expect(page.locator("main tbody tr").first).to_contain_text("hv1")
    page.get_by_label("state").select_option("rejecting")
    expect(page.locator("main tbody tr")).to_have_count(1)


def test_the_page_filters_routes(page: Page) -> None:
    page.get_by_role("link", name="Routes").click()
    expect(page.locator("main tbody tr")).to_have_count(4)
    page.get_by_label("verdict").select_option("rejected")
    expect(page.locator("main tbody tr")).to_have_count(1)
    cell(page, "origin_invalid_asn")
    page.get_by_label("verdict").select_option("")
    expect(page.locator("main tbody tr")).to_have_count(4)
    page.get_by_label("prefix", exact=True).fill("203.0.113.2/31")
    page.get_by_label("match").select_option("covered")
    expect(page.locator("main tbody tr")).to_have_count(2)
    page.locator("main").get_by_label("ASN", exact=True).fill("AS65009")
    page.keyboard.press("Enter")
    expect(page.locator("main tbody tr")).to_have_count(0)
    page.go_back()
    expect(page.locator("main tbody tr")).to_have_count(2)


@pytest.mark.parametrize("view", ["routes", "audit"])
def test_hosts_and_neighbors_are_lists_to_choose_from(page: Page, view: str) -> None:
    """Typed words are taken as well: a host may be gone, and its records are there."""
    page.goto(f"/#/{view}")
    page.locator("main").get_by_label("host").focus()
    options = page.locator("#known-host option")
    expect(options).to_have_count(2)
    assert [option.get_attribute("value") for option in options.all()] == ["hv1", "hv2"]
    page.get_by_role("combobox", name="neighbor", exact=True).focus()
    expect(page.locator("#known-neighbor option").first).to_have_attribute("value", HV1[0])
    expect(page.locator("#known-neighbor option").first).to_have_attribute("label", "hv1")
    page.locator("main").get_by_label("host").fill("gone")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("host=gone"))


def test_the_story_of_a_route_begins_with_its_verdict(page: Page) -> None:
    """The verdict and the check that failed come first, then the rest."""
    page.keyboard.press("/")
    page.keyboard.type("203.0.113.4")
    page.keyboard.press("Enter")
    first = page.locator("main section").first
    expect(first).to_contain_text("rejected from hv2 (198.51.100.2, AS65002)")
    expect(first).to_contain_text("origin_invalid_asn")
    expect(first).to_contain_text("How to fix it")
    checks = page.locator("main table", has_text="checks").locator("tbody tr")
    expect(checks.first).to_contain_text("failed")
    expect(page.locator("main")).to_contain_text("203.0.113.0/28-32 AS65001")
    expect(page.locator("main")).to_contain_text("This route is not sent to routers.")
    expect(page.locator("main")).to_contain_text(
        "Rejected for origin_invalid_asn: hv2 (198.51.100.2) announced it."
    )


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        ("hv1", "#/neighbor/198.51.100.1"),
        ("198.51.100.2", "#/neighbor/198.51.100.2"),
        ("AS65001", "#/neighbors?find=AS65001"),
        ("65001", "#/neighbors?find=AS65001"),
        ("AS64999", "#/routes?asn=64999"),
        ("203.0.113.4", "#/route/203.0.113.4"),
        ("203.0.113.4/32", "#/route/203.0.113.4%2F32"),
        ("203.0.113", "#/routes?prefix=203.0.113.0%2F24&match=covered"),
        ("203.0.113.0/28", "#/routes?prefix=203.0.113.0%2F28&match=covered"),
        ("2001:db8::1", "#/route/2001%3Adb8%3A%3A1"),
        ("hv", "#/neighbors?find=hv"),
    ],
)
def test_one_box_finds_everything(page: Page, wanted: str, where: str) -> None:
    page.keyboard.press("/")
    page.keyboard.type(wanted)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{page.url.partition('#')[0]}{where}")
    expect(page.locator("#asof")).to_contain_text("as of")
    expect(page.locator("main [role=alert]")).to_have_count(0)


def test_a_host_has_a_story(page: Page) -> None:
    page.goto("/#/neighbor/198.51.100.2")
    expect(page.locator("main h2").first).to_have_text("hv2: up, rejecting")
    expect(page.locator("main")).to_contain_text("Its session is up since")
    expect(page.locator("main")).to_contain_text("0 routes accepted, 1 rejected.")
    expect(page.locator("main")).to_contain_text("The session of hv2 (198.51.100.2) came up.")


def test_an_unknown_view_is_named(page: Page) -> None:
    page.goto("/#/foo")
    expect(page.locator("main")).to_contain_text('This page has no view "foo".')
    expect(page).to_have_title(re.compile("No such view"))


def test_the_overview_has_a_name_of_its_own_too(page: Page) -> None:
    page.goto("/#/overview")
    expect(page.locator("nav a[aria-current=page]")).to_have_text("Overview")


def test_without_a_fleet_its_view_gives_the_reason_and_no_tables(page: Page) -> None:
    page.goto("/#/fleet")
    expect(page.locator("main")).to_contain_text("the configuration has no [fleet]")
    expect(page.locator("main table").first).to_be_hidden()


def test_the_picture_has_a_cell_for_every_host(page: Page) -> None:
    """A click on a cell is the host's story; the list leads there without a pointer."""
    page.keyboard.press("2")
    expect(page.locator("main canvas")).to_have_attribute(
        "aria-label", "hypervisors: 1 up, 1 up, rejecting"
    )
    expect(page.locator("main .sources")).to_contain_text("truth r1")
    expect(page.locator("main .routers")).to_contain_text(ROUTER)
    expect(page.locator("main .cells")).to_have_text("hv2 up, rejecting")
    page.locator("main canvas").click(position={"x": 30, "y": 5})
    expect(page).to_have_url(re.compile("#/neighbor/198.51.100.2$"))
    page.go_back()
    page.locator("main .cells").get_by_role("link", name="hv2").press("Enter")
    expect(page).to_have_url(re.compile("#/neighbor/198.51.100.2$"))


def test_a_host_with_two_sessions_is_one_cell(page: Page) -> None:
    """The cell is as well as the worse session, and each is named with its address."""
    first = NEIGHBOR | {"host": "hv1", "neighbor": HV1[0], "state": "up"}
    other = first | {"neighbor": "2001:db8::1", "is_up": False, "state": "down"}
    third = first | {"host": "h", "neighbor": "198.51.100.9", "absent_prefixes": 2}
    found = {"neighbors": [first, other, third]}
    page.route("**/api/v1/neighbors*", lambda route: route.fulfill(json=found))
    page.keyboard.press("2")
    canvas = page.locator("main canvas")
    expect(canvas).to_have_attribute("aria-label", "h: 1 up, prefixes absent, 1 down")
    expect(page.locator("main")).to_contain_text("h: 2 hosts, 3 sessions")
    expect(page.locator("main .cells li")).to_have_text(
        ["hv1 down", "198.51.100.9 up, prefixes absent"]
    )
    canvas.click(position={"x": 5, "y": 5})
    expect(page).to_have_url(re.compile("#/neighbor/2001%3Adb8%3A%3A1$"))
    expect(page.locator("main")).to_contain_text("other sessions198.51.100.1 up")
    first |= {"is_up": False, "state": "down"}
    page.keyboard.press("1")
    expect(page.locator("main ul.findings")).to_contain_text(
        "2 host sessions down: hv1 (198.51.100.1), hv1 (2001:db8::1)"
    )


COLOUR = """(at) => {
    const canvas = document.querySelector("main canvas");
    const columns = Math.floor(canvas.clientWidth / 12);
    const place = [(at % columns) * 12 + 1, Math.floor(at / columns) * 12 + 1];
    const pixel = canvas.getContext("2d").getImageData(...place, 1, 1).data;
    return `#${[...pixel.slice(0, 3)].map((each) => each.toString(16).padStart(2, "0")).join("")}`;
}"""
"""Colour of a cell's upper left corner, where no sign is."""


def test_eight_thousand_hosts_are_one_picture_that_lives(page: Page, speaker: Speaker) -> None:
    """Each state has its colour, all cells fit two screens, and a lost host shows at once."""
    last = {"is_up": True, "state": "up"}
    states = [last, {"is_up": False, "state": "down"}, {"is_up": False, "state": "absent"}]

    def many() -> list[dict[str, object]]:
        up = {"is_up": True, "state": "up"}
        every = [NEIGHBOR | up | {"neighbor": f"2001:db8::{n:x}"} for n in range(8000)]
        for at, shown in enumerate(states):
            every[at] |= shown
        every[0]["neighbor"] = HV1[0]
        return every

    page.route("**/api/v1/neighbors*", lambda route: route.fulfill(json={"neighbors": many()}))
    page.keyboard.press("2")
    canvas = page.locator("main canvas")
    expect(canvas).to_have_attribute("aria-label", "h: 7,998 up, 1 down, 1 absent")
    assert [page.evaluate(COLOUR, at) for at in (0, 1, 2, 7999)] == [
        "#1a7f37",
        "#c0262d",
        "#7a1f5c",
        "#1a7f37",
    ]
    box = canvas.bounding_box()
    assert box is not None
    assert box["height"] < 2 * 900
    last |= {"is_up": False, "state": "down"}
    speaker.write(state(*HV1, "down"))
    try:
        expect(canvas).to_have_attribute(
            "aria-label",
            "h: 7,997 up, 2 down, 1 absent",
        )
        assert page.evaluate(COLOUR, 0) == "#c0262d"
    finally:
        speaker.write(state(*HV1, "up"))
        speaker.write(announce(*HV1, [f"203.0.113.{n}/32" for n in (1, 2, 3)]))


def test_plots_cover_the_hour_without_a_false_wave_of_rejections(page: Page) -> None:
    """The hour has one start; what was judged just after it is no wave of rejections."""
    page.keyboard.press("5")
    expect(page.locator("main figure canvas")).to_have_count(4)
    expect(page.locator("main")).to_contain_text("1 start of rsfilter")
    first = page.locator("main figure").first
    expect(first.locator(".u-legend")).to_contain_text("judged again after a start")
    first.locator("summary").click()
    row = first.locator("details tr", has_text="judged again")
    expect(row).to_contain_text(re.compile(r"[1-9]"))
    expect(page.locator("main figure").nth(2)).to_contain_text("Host sessions up")
    page.get_by_role("link", name="24 h").click()
    expect(page).to_have_url(re.compile("since=24h"))
    expect(page.locator("main .ranges [aria-current]")).to_have_text("24 h")
    expect(page.locator("main")).to_contain_text("in steps of 10 min")


def test_a_part_of_a_plot_is_a_deep_link(page: Page) -> None:
    page.goto("/#/plots?since=24h")
    plot = page.locator("main figure .u-over").first
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 50)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"since=20\d\d-.*&until=20\d\d-"))
    expect(page.locator("main figure canvas")).to_have_count(4)
    page.go_back()
    expect(page).to_have_url(re.compile("since=24h$"))


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


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("where", ["neighbors", "routes", "neighbor", "audit"])
def test_tables_are_as_wide_as_the_window(page: Page, where: str, width: int) -> None:
    """The longest values of a real site: nothing scrolls sideways, and no value is cut off."""
    page.set_viewport_size({"width": width, "height": 900})
    page.route("**/api/v1/neighbors", lambda route: route.fulfill(json=LONG_NEIGHBORS))
    page.route(re.compile(r"/api/v1/routes(\?|$)"), lambda route: route.fulfill(json=LONG_ROUTES))
    page.goto(f"/#/{where}/{LONG_ADDRESS if where == 'neighbor' else ''}")
    expect(page.locator("main tbody tr:visible").first).to_be_visible()
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate(OUTSIDE) == []


TOO_WIDE = """() => [...document.querySelectorAll(".scroll, .scroll td, .scroll th")]
    .filter((element) => element.scrollWidth > element.clientWidth + 1)
    .map((element) => `${element.tagName} ${element.textContent}`)"""

LONG_ADDRESS = "2001:db8:c633:6401:a8bb:ccff:fe00:1017"

LONG_NEIGHBOR = {
    "neighbor": LONG_ADDRESS,
    "host": "compute-0123.az1.example.net",
    "group": "hypervisors-az1",
    "role": "host",
    "asn": 4200000123,
    "is_up": True,
    "since": "2026-11-23T10:00:00.000000Z",
    "reason": "peer reset, message (notification received (6,2): administrative shutdown)",
    "flaps": 1234,
    "routes": {"total": 9999, "accepted": 9999, "rejected": 9999, "held": 9999, "stale": 9999},
    "max_prefixes": 10000,
    "router": None,
}

LONG_ROUTER = LONG_NEIGHBOR | {
    "role": "router",
    "host": "leaf-switches-az1",
    "max_prefixes": None,
    "neighbor": f"{LONG_ADDRESS}8",
    "router": {"phase": "filling", "told": 200000, "under_way": 100000},
}

LONG_NEIGHBORS = {"neighbors": [LONG_NEIGHBOR, LONG_ROUTER]}

LONG_ROUTE = {
    "neighbor": LONG_ADDRESS,
    "host": "compute-0123.az1.example.net",
    "group": "hypervisors-az1",
    "asn": 4200000123,
    "prefix": f"{LONG_ADDRESS}/128",
    "path_id": 0,
    "as_path": "4200000123 4200000123 4200000123",
    "next_hop": LONG_ADDRESS,
    "med": 4294967295,
    "communities": ["65100:65535", "65100:65534", "4200000123:4294967295:4294967295"],
    "is_best": True,
    "verdict": "accepted",
    "reasons": ["as_path_too_long", "origin_invalid_asn"],
    "state": "Invalid",
    "vrps": ["2001:db8:c633:6401::/64-128 AS4200000123"] * 2,
    "stale": True,
}

LONG_ROUTES = {"routes": [LONG_ROUTE], "next": None}


def test_an_unknown_reason_leaves_no_button_behind(page: Page) -> None:
    page.goto("/#/routes?reason=nonsense")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()


def test_a_prefix_that_no_host_announces(page: Page) -> None:
    """An answer, and no failure: the prefix's owner, and whether that host is there."""
    page.goto("/#/route/203.0.113.9%2F32")
    expect(page.locator("main")).to_contain_text("No host announces this prefix now.")
    expect(page.locator("main .owners")).to_have_text(
        "hv1 (AS65001) by 203.0.113.0/28-32 AS65001; session 198.51.100.1 up; does not announce it."
    )
    expect(page.locator("main [role=alert]")).to_have_count(0)
    page.goto("/#/route/192.0.2.77%2F32")
    expect(page.locator("main")).to_contain_text("Truth gives this prefix to no host.")
    expect(page.locator("main [role=alert]")).to_have_count(0)


def test_the_impact_of_a_truth_that_is_dropped_in(page: Page, tmp_path: Path) -> None:
    new = tmp_path / "new.json"
    new.write_text(json.dumps(AFTER))
    page.get_by_role("link", name="Impact").click()
    page.locator("#file").set_input_files(new)
    expect(page.locator("main")).to_contain_text("1 lost, 1 gained of 4 routes")
    lost = page.locator("main tr", has_text="203.0.113.3/32").first
    expect(lost).to_contain_text("rejected")
    vrps = page.locator("main table", has_text="VRPs that differ").locator("tbody tr")
    expect(vrps).to_have_text(
        [
            "removed203.0.113.0/28-32 AS65001",
            "removed203.0.113.16/28-32 AS65002",
            "added203.0.113.1/32-32 AS65001",
            "added203.0.113.2/32-32 AS65001",
            "added203.0.113.3/32-32 AS65002",
            "added203.0.113.4/32-32 AS65002",
        ]
    )
    new.write_text('{"hosts": [{"name": "hv1"}]}')
    page.locator("#file").set_input_files(new)
    expect(page.get_by_role("alert")).to_contain_text("/hosts/0")


def test_the_audit_log_is_searched(page: Page) -> None:
    page.get_by_role("link", name="Audit").click()
    cell(page, "session up")
    page.get_by_label("reason").select_option("origin_invalid_asn")
    expect(page).to_have_url(re.compile("reason=origin_invalid_asn"))
    page.locator("main").get_by_label("host").fill("hv2")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("main tbody tr")).to_have_count(1)
    cell(page, "203.0.113.4/32")


def test_keys_lead_everywhere(page: Page) -> None:
    page.keyboard.press("3")
    expect(page.locator("nav a[aria-current]")).to_have_text("Neighbors")
    page.keyboard.press("8")
    expect(page.locator("nav a[aria-current]")).to_have_text("Audit")


def test_no_line_is_drawn_around_a_page_that_takes_the_focus(page: Page) -> None:
    page.keyboard.press("2")
    expect(page.locator("main")).to_be_focused()
    outline = "getComputedStyle(document.getElementById('content')).outlineStyle"
    assert page.evaluate(outline) == "none"


def test_a_table_is_saved_as_csv(page: Page) -> None:
    """No cell becomes a formula, whatever a host is called."""
    name = '=1+"x"'
    page.route(
        "**/api/v1/neighbors*",
        lambda route: route.fulfill(
            json={"neighbors": [NEIGHBOR | {"host": name, "neighbor": HV1[0]}]}
        ),
    )
    page.keyboard.press("3")
    expect(page.locator("main tbody tr")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    assert download.value.suggested_filename == "neighbors.csv"
    header, row = download.value.path().read_text().splitlines()
    assert header.startswith("neighbor,host,role,group,AS,state,since")
    assert row.startswith(f'{HV1[0]},"\'=1+""x""",host,h,65001,up,2026-11-23T10:00:00.000000Z')


def test_the_keyboard_alone_reaches_a_host(page: Page) -> None:
    """Tab and Enter lead from the skip link to a host's story."""
    page.goto("/#/neighbors?role=host")
    expect(page.locator("main tbody tr")).to_have_count(2)
    page.keyboard.press("Tab")
    reached = page.locator("main tbody a", has_text="198.51.100.1")
    for _ in range(60):
        if page.evaluate("document.activeElement.textContent") == "198.51.100.1":
            break
        page.keyboard.press("Tab")
    expect(reached).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main h2").first).to_contain_text("hv1")


def test_a_host_that_never_came_is_named_first(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """hv3 is in truth and has no session. Seconds later it is absent: everywhere, by name."""
    owned = {f"hv{n}": [f"203.0.113.{16 * (n - 1)}/28"] for n in (1, 2, 3)}
    place = tmp_path_factory.mktemp("absent")
    with running_site(place, truth=hosts(**owned), absent_after=8) as speaker:
        context = browser.new_context(base_url=f"http://{speaker.http}")
        page = context.new_page()
        page.goto("/")
        first = page.locator("main ul.findings li").first
        expect(first).to_contain_text("1 host session absent: hv3")
        page.keyboard.press("2")
        expect(page.locator("main .cells li").first).to_have_text("hv3 absent")
        page.keyboard.press("3")
        row = page.locator("main tr", has_text="198.51.100.3")
        expect(row).to_contain_text("absent")
        speaker.write(state("198.51.100.3", 65003, "up"))
        expect(row).not_to_contain_text("absent")
        context.close()


AXE = Path(__file__).parents[1] / "support/axe/axe.min.js"
"""axe-core 4.14.1 (MPL 2.0), as it is published."""

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

EVERY_VIEW = [
    "",
    "picture",
    "neighbors",
    "neighbor/198.51.100.2",
    "routes",
    "route/203.0.113.4%2F32",
    "route/203.0.113.9%2F32",
    "plots",
    "guard",
    "impact",
    "audit",
    "fleet",
    "foo",
]

INSTANCE = {
    "instance": "rs1",
    "is_silent": False,
    "age_s": 1,
    "version": __version__,
    "truth": "972f88700f9d",
    "revision": "r1",
    "rtr": "",
    "other_data": "",
    "sessions": 2,
    "absent": 1,
    "accepted": 3,
    "rejected": 1,
    "held": 0,
    "behind": 0,
    "problem": "",
    "is_complete": True,
}

FLEET = {
    "name": "site-a",
    "instance": "rs1",
    "has_answer": False,
    "problem": "fork",
    "detail": "the database has other records",
    "instances": [
        INSTANCE,
        INSTANCE | {"instance": "rs2", "is_silent": True, "other_data": "truth", "problem": "fork"},
    ],
    "absent": [
        {
            "host": "hv3",
            "neighbor": "198.51.100.3",
            "seen_by": ["rs2"],
            "absent_from": ["rs1"],
            "instances": 2,
        }
    ],
    "differences": [
        {
            "prefix": "203.0.113.4/32",
            "path_id": 0,
            "host": "hv2",
            "neighbor": HV2[0],
            "peer": "rs2",
            "here": "rejected",
            "there": "accepted",
            "cause": "unexplained",
        }
    ],
    "differing": 1,
}
"""The answer of a fleet with every kind of trouble."""


@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 1280),
        ("dark", 400),
        pytest.param("light", 400, marks=pytest.mark.slow),
        pytest.param("dark", 1280, marks=pytest.mark.slow),
    ],
)
def test_axe_finds_nothing(page: Page, scheme: str, width: int) -> None:
    """WCAG 2.2 A and AA, and axe-core's best practices, in every view."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate(AXE.read_text())
    page.route("**/api/v1/fleet", lambda route: route.fulfill(json=FLEET))
    found: dict[str, list[str]] = {}
    for where in EVERY_VIEW:
        page.goto(f"/#/{where}")
        expect(page.locator("main > [aria-busy]")).to_have_count(0)
        result = page.evaluate("(tags) => axe.run({ runOnly: tags })", RULES)
        assert {"color-contrast", "label", "page-has-heading-one"} <= {
            each["id"]
            for each in (*result["passes"], *result["violations"], *result["inapplicable"])
        }
        found[where] = [
            f"{each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for each in result["violations"]
            for node in each["nodes"][:3]
        ]
    assert not {where: what for where, what in found.items() if what}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_readable_in_light_and_dark(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    expect(page.locator("#state")).to_contain_text("1 problem")
    cell(page, "203.0.113.4/32")


def test_text_of_a_host_stays_text_on_the_page(page: Page) -> None:
    """Values of the API become text: a name with markup in it does nothing."""
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
    name = page.locator("main").get_by_title(long).first
    expect(name).to_be_visible()
    box = name.bounding_box()
    assert box is not None
    assert box["width"] < 300


NEIGHBOR = {
    "neighbor": "",
    "host": "",
    "group": "h",
    "role": "host",
    "asn": 65001,
    "is_up": True,
    "since": "2026-11-23T10:00:00.000000Z",
    "routes": dict.fromkeys(("total", "accepted", "rejected", "held", "stale"), 0),
    "max_prefixes": 10,
    "router": None,
}


def test_the_guard_shows_what_it_holds_and_a_release_is_confirmed(
    page: Page, speaker: Speaker
) -> None:
    """The last test here: it takes the routes away."""
    nothing = hosts(hv1=["203.0.113.8/29"], hv2=["203.0.113.16/28"])
    new = speaker.config.parent / "new.json"
    new.write_text(json.dumps(nothing))
    new.rename(speaker.config.parent / "truth.json")
    expect(page.locator("#state")).to_contain_text("3 held")
    page.get_by_role("link", name="Guard", exact=True).click()
    expect(page.locator("main tbody tr")).to_have_count(3)
    expect(page.locator("main")).to_contain_text("Triggered by a change of truth")
    expect(page.locator("main")).to_contain_text("3 of 3 accepted routes")
    expect(page.locator("main")).to_contain_text(
        re.compile(r"Data before: truth r1 [0-9a-f]{12}\. New data: truth r1 [0-9a-f]{12} \(")
    )
    release = page.get_by_role("button", name="Withdraw")
    page.locator("main").get_by_label("prefix").fill("203.0.113.3/32")
    page.keyboard.press("Enter")
    expect(page.locator("main tbody tr")).to_have_count(1)
    page.get_by_label("token").fill(TOKEN)
    page.get_by_label("confirmation").fill("withdraw 1 route")
    release.click()
    expect(page.locator("main")).to_contain_text("1 route withdrawn from all routers")
    expect(page.locator("#state")).to_contain_text("2 held")
    speaker.wait("one withdrawn", lambda: len(speaker.tables[ROUTER]) == 2)
    page.go_back()
    expect(page.locator("main tbody tr")).to_have_count(2)
    page.get_by_label("token").fill("wrong" * 4)
    page.get_by_label("confirmation").fill("withdraw 3 routes")
    expect(release).to_be_disabled()
    page.get_by_label("confirmation").fill("withdraw 2 routes")
    release.click()
    expect(page.get_by_role("alert")).to_contain_text("not the token")
    page.get_by_label("token").fill(TOKEN)
    release.click()
    expect(page.locator("main")).to_contain_text("2 routes withdrawn from all routers")
    expect(page.locator("main")).to_contain_text("The guard holds nothing.")


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
    expect(page.locator("#state")).to_contain_text("problem")
    context.close()
