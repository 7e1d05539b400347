"""Times of the page with a full table: common steps of a person on it, in milliseconds.

    python tests/bench/page.py [--routes 200000] [--times 5]

A real `rsfilter run` behind a scripted ExaBGP, and headless Chromium. Each line is from the click
to the answer on the screen: the median and the worst of several times.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.web import Bench

DEADLINE_MS = 60_000.0


def overview(page: Page, routes: int) -> None:
    """The first page, with its counts."""
    page.goto("/")
    shown = re.compile(f"{routes:,}".replace(",", ".?"))
    expect(page.locator("main")).to_contain_text(shown, timeout=DEADLINE_MS)


def all_routes(page: Page, _routes: int) -> None:
    """The first of all routes."""
    page.goto("/#/routes")
    expect(page.locator("main tbody tr").first).to_contain_text("10.0.0.", timeout=DEADLINE_MS)


def inside(page: Page, _routes: int) -> None:
    """256 of them, by the prefix that covers them."""
    page.goto("/#/routes")
    page.get_by_label("prefix", exact=True).fill("10.1.2.0/24")
    page.get_by_label("match").select_option("covered")
    row = page.locator("main tbody tr").first
    expect(row).to_contain_text("10.1.2.", timeout=DEADLINE_MS)


def none(page: Page, routes: int) -> None:
    """The first of all, then a filter that no route meets."""
    all_routes(page, routes)
    page.get_by_label("verdict").select_option("held")
    expect(page.locator("main tbody tr")).to_have_count(0, timeout=DEADLINE_MS)


def story(page: Page, _routes: int) -> None:
    """One route with its checks and its history."""
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type("10.1.2.3")
    page.keyboard.press("Enter")
    heading = page.locator("main p.verdict", has_text="accepted")
    expect(heading).to_be_visible(timeout=DEADLINE_MS)


STEPS: tuple[Callable[[Page, int], None], ...] = (overview, all_routes, inside, none, story)


def timed(step: Callable[[Page, int], None], page: Page, routes: int) -> float:
    """Milliseconds."""
    page.goto("about:blank")
    started = time.monotonic()
    step(page, routes)
    return 1000 * (time.monotonic() - started)


def run(routes: int, times: int) -> Table:
    """Measure every step, several times."""
    table = Table("", "median", "worst", title=f"{routes} routes, milliseconds")
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        bench = Bench(Path(directory), routes)
        with bench.speaker:
            bench.fill()
            sandbox = [] if os.geteuid() else ["--no-sandbox"]
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=sandbox
            )
            page = browser.new_page(base_url=f"http://{bench.speaker.http}")
            for step in STEPS:
                found = sorted(timed(step, page, routes) for _ in range(times))
                name = (step.__doc__ or "").rstrip(".")
                table.add_row(name, f"{found[times // 2]:.0f}", f"{found[-1]:.0f}")
            browser.close()
    return table


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--routes", type=int, default=200_000)
    parser.add_argument("--times", type=int, default=5)
    args = parser.parse_args()
    Console().print(run(args.routes, args.times))


if __name__ == "__main__":
    main()
