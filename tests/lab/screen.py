"""A lab while it runs: steps, routers and the filter on one screen.

A plugin for pytest, which takes the place of its own reports: each test is a step, with its
docstring and the sentences of `lab.story`. On a terminal the screen follows events; into a file or
pipe each step is written when it is over.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lab.audit import Record
from lab.core import Lab
from lab.exabgp import RouteServer
from lab.router import Router
from lab.speaker import Speaker
from lab.story import SENTENCES, SHOWN, Sentence

FOLLOW_S = 0.5
"""Seconds between two requests to routers: enough not to disturb a lab on a small machine."""

STEPS, LINES, PREFIXES, RECORDS = 8, 5, 10, 6
"""Lines of each on the screen at once, so that all of it fits on a terminal of 40 lines."""

SIGNS = {
    "waiting": "[yellow]…[/]",
    "true": "[green]✓[/]",
    "false": "[red]✗[/]",
    "skipped": "[dim]-[/]",
}


@dataclass(slots=True)
class Step:
    """One test of the lab."""

    title: str
    about: str
    state: str = "waiting"
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    first_sentence: int = 0

    def over(self, state: str) -> None:
        """Record the state in which it ended, unless it has failed before."""
        self.seconds = time.monotonic() - self.began
        if self.state != "false":
            self.state = state

    def line(self) -> str:
        """The step on one line."""
        seconds = self.seconds or time.monotonic() - self.began
        return f"{SIGNS[self.state]} {escape(self.title)} [dim]{seconds:.1f} s[/]"


class Screen:
    """The plugin. `keep`: when all is over, or a step failed, stay until Ctrl-C."""

    def __init__(self, name: str, console: Console, *, keep: bool = False) -> None:
        self.name = name
        self.failures: list[str] = []
        self.steps: list[Step] = []
        self._console = console
        self._keep = keep
        self._kept = False
        self._began = time.monotonic()
        self._follower = Follower()
        self._live: Live | None = None

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """The lab runs inside."""
        SENTENCES.clear()
        SHOWN.clear()
        if not self._console.is_terminal:
            yield
            return
        self._follower.start()
        self._live = Live(
            get_renderable=self._render, console=self._console, transient=True, auto_refresh=True
        )
        try:
            with self._live:
                yield
        finally:
            self._follower.stops()
        if not self._kept:
            self._write_all()

    # pytest's hooks ---------------------------------------------------------------------------

    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """A step begins."""
        title = item.name.removeprefix("test_").replace("_", " ")
        title = title.replace("[", " (").replace("]", ")")
        about = " ".join((getattr(item, "obj", item).__doc__ or "").split())
        self.steps.append(Step(title, about, first_sentence=SENTENCES.count))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Setup, call or teardown of a step is over."""
        step = self.steps[-1]
        if report.failed and not self._kept:
            step.over("false")
            self.failures.append(f"{step.title}\n{_message(report)}")
        if report.skipped:
            step.over("skipped")
        if report.when == "teardown":
            step.over("skipped" if step.state == "skipped" else "true")
            if not self._console.is_terminal:
                self._write(step)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, nextitem: pytest.Item | None) -> None:
        """The last moment at which everything still runs."""
        if self._keep and Lab.open and (nextitem is None or self.failures):
            self._kept = True
            if self._live is not None:
                self._live.stop()
                self._write_all()
            self._console.print(self.verdict())
            with contextlib.suppress(KeyboardInterrupt):
                self._console.print(_hints(), soft_wrap=True)
                signal.pause()

    # The screen -------------------------------------------------------------------------------

    def verdict(self) -> RenderableType:
        """One green line, or what failed."""
        seconds = time.monotonic() - self._began
        if self.failures:
            what = Text("\n\n".join(self.failures))
            return Group(f"[bold red]Lab {self.name}: not as it must be.[/]", what)
        if not self.steps:
            return f"[bold red]Lab {self.name}: no such step.[/]"
        return (
            f"[bold green]Lab {self.name}: all {len(self.steps)} steps hold[/] ({seconds:.0f} s)."
        )

    def _write_all(self) -> None:
        for step in self.steps:
            self._console.print(step.line(), soft_wrap=True)

    def _write(self, step: Step) -> None:
        self._console.print(step.line(), soft_wrap=True)
        if step.about:
            self._console.print(f"    [italic]{escape(step.about)}[/]", soft_wrap=True)
        for sentence in SENTENCES.since(step.first_sentence):
            self._console.print(_line(sentence), soft_wrap=True)

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = [step.line() for step in self.steps[-STEPS:]]
        if self.steps:
            parts.append(f"    [italic]{escape(self.steps[-1].about)}[/]")
            found = SENTENCES.since(self.steps[-1].first_sentence)
            parts += [_line(sentence) for sentence in found[-LINES:]]
        parts += self._follower.tables()
        return Group(*parts)


class Follower(threading.Thread):
    """Requests the state of routers and the audit logs of all labs, again and again."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._end = threading.Event()
        self._routers: dict[str, dict[str, str]] = {}
        self._records: list[Record] = []

    def run(self) -> None:
        """Run until `stops`."""
        while not self._end.wait(FOLLOW_S):
            # A lab may end, and daemons die, at any moment: what does not answer is not shown.
            with contextlib.suppress(Exception):
                self._check()

    def stops(self) -> None:
        """End it."""
        self._end.set()
        self.join()

    def _check(self) -> None:
        routers: dict[str, dict[str, str]] = {}
        records: list[Record] = []
        for lab in list(Lab.open):
            speakers = [d for d in lab.daemons.values() if isinstance(d, Speaker)]
            names = {a: s.name for s in speakers for a in s.addresses.values()}
            for daemon in speakers:
                if isinstance(daemon, Router):
                    routers[daemon.name] = {"": "gone"}
                    with contextlib.suppress(Exception):
                        routers[daemon.name] = {
                            prefix: ", ".join(names.get(p.next_hop, p.next_hop) for p in paths)
                            for prefix, paths in daemon.table().items()
                        }
                if isinstance(daemon, RouteServer):
                    records += daemon.audit.records()
        self._routers, self._records = routers, records

    def tables(self) -> list[RenderableType]:
        """Return the last state."""
        routers = Table(title="routers: who they reach a prefix over", title_justify="left")
        routers.add_column("prefix")
        for name in self._routers:
            routers.add_column(name)
        prefixes = sorted({p for table in self._routers.values() for p in table if p})
        for prefix in prefixes[:PREFIXES]:
            row = [table.get(prefix, table.get("", "-")) for table in self._routers.values()]
            routers.add_row(prefix, *map(escape, row))
        if len(prefixes) > PREFIXES:
            routers.add_row(f"{len(prefixes) - PREFIXES} more", *("" for _ in self._routers))
        logged = [f"  {escape(_audit_line(record))}" for record in self._records[-RECORDS:]]
        return [routers, "[italic]filter: the end of its audit log[/]", *logged]


def _audit_line(record: Record) -> str:
    who = record.get("host") or record.get("neighbor") or ""
    what = record.get("verdict") or record["event"]
    why = ", ".join(record.get("reasons") or [record.get("cause") or ""])
    return f"{record['at'][11:19]} {what:12} {record.get('prefix', ''):24} {who:8} {why}"


def _line(sentence: Sentence) -> str:
    return f"    {SIGNS[sentence.state]} {escape(sentence.text)}"


def _message(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message if crash is not None else report.longreprtext


def _hints() -> str:
    lines = ["Everything keeps running; Ctrl-C ends it. From another terminal, for instance:"]
    for lab in Lab.open:
        lines.append(f"  files and logs  {lab.directory}")
        if inside := lab.inside():
            lines.append(f"  a shell inside  {' '.join(inside)} bash")
        for daemon in lab.daemons.values():
            lines += [f"  {daemon.name:14}  {hint}" for hint in daemon.hints()]
    return escape("\n".join(lines))
