"""Completion in real shells: a person types part of a word and presses Tab.

In bash and zsh the line is typed at a terminal and run: a program called `rsfilter` writes down the
words that it gets. fish prints its candidates instead: at a terminal its newer releases wait
for answers that only a real one gives.
"""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab.waiting import DEADLINE_S, eventually

pytestmark = pytest.mark.lab

PROMPT = b"what now? "

LINES = {
    "rsfilter neigh\t": ["neighbors"],
    "rsfilter audit qu\t": ["audit", "query"],
    "rsfilter status --qui\t": ["status", "--quiet"],
    "rsfilter routes --verdict rej\t": ["routes", "--verdict", "rejected"],
    "rsfilter guard release --ho\t hv1": ["guard", "release", "--host", "hv1"],
    "rsfilter truth check gue\t": ["truth", "check", "guests.json"],
    "rsfilter check -c gue\t": ["check", "-c", "guests.json"],
}
"""Words that the program gets, by what is typed."""


class Terminal:
    """A terminal with a shell in it."""

    def __init__(self, keyboard: int) -> None:
        self.screen = b""
        self._keyboard = keyboard
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def types(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def ends(self) -> None:
        self._reader.join()

    def _read(self) -> None:
        try:
            while part := os.read(self._keyboard, 4096):
                self.screen += part
        except OSError:
            return  # the shell has ended


@contextmanager
def terminal(*shell: str, cwd: Path, **environment: str) -> Iterator[Terminal]:
    keyboard, screen = pty.openpty()
    started = subprocess.Popen(
        shell,
        stdin=screen,
        stdout=screen,
        stderr=screen,
        start_new_session=True,
        cwd=cwd,
        env={"TERM": "dumb", "LC_ALL": "C.UTF-8", **environment},
    )
    os.close(screen)
    shown = Terminal(keyboard)
    try:
        yield shown
    finally:
        started.kill()
        started.wait()
        shown.ends()
        os.close(keyboard)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A home with a program `rsfilter` that writes down its words, and nothing of this machine."""
    program = tmp_path / "bin" / "rsfilter"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {shlex.quote(str(tmp_path))}/words\n')
    program.chmod(0o755)
    (tmp_path / "guests.json").touch()
    return tmp_path


def script(shell: str) -> str:
    argv = [sys.executable, "-m", "rsfilter", "completion", shell]
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def bash(place: Path) -> tuple[str, ...]:
    rc = place / "bashrc"
    rc.write_text(f"{script('bash')}\nPS1='{PROMPT.decode()}'\n")
    return "bash", "--noprofile", "--rcfile", str(rc), "-i"


def zsh(place: Path) -> tuple[str, ...]:
    functions = place / "functions"
    functions.mkdir()
    (functions / "_rsfilter").write_text(script("zsh"))
    own = f"fpath=({shlex.quote(str(functions))} $fpath)\nautoload -U compinit\ncompinit -u -D\n"
    (place / ".zshrc").write_text(f"{own}PS1='{PROMPT.decode()}'\n")
    return "zsh", "--no-global-rcs", "-i"


@pytest.mark.parametrize("shell", [bash, zsh])
def test_tab_completes_what_is_typed(place: Path, shell: Callable[[Path], tuple[str, ...]]) -> None:
    paths = f"{place / 'bin'}:/usr/bin:/bin"
    words = place / "words"
    own = {"HOME": str(place), "ZDOTDIR": str(place), "PATH": paths}
    with terminal(*shell(place), cwd=place, **own) as shown:
        for number, (typed, expected) in enumerate(LINES.items(), 1):

            def waits(prompts: int = number) -> str | None:
                missing = shown.screen.count(PROMPT) < prompts
                return f"no prompt: {shown.screen!r}" if missing else None

            eventually(waits, lambda: "", DEADLINE_S)
            shown.types(f"{typed}\n")

            def runs(line: str = " ".join(expected), number: int = number) -> str | None:
                found = words.read_text().splitlines() if words.exists() else []
                return None if found[number - 1 :] == [line] else f"{found}, {shown.screen!r}"

            eventually(runs, lambda: "", DEADLINE_S)


@pytest.mark.parametrize(("typed", "words"), LINES.items())
def test_fish_completes_what_is_typed(place: Path, typed: str, words: list[str]) -> None:
    completions = place / "rsfilter.fish"
    completions.write_text(script("fish"))
    before, *_ = typed.partition("\t")
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {completions}; complete -C {shlex.quote(before)}"],
        cwd=place,
        env={"HOME": str(place), "PATH": f"{place / 'bin'}:/usr/bin:/bin", "TERM": "dumb"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    candidates = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert candidates == [words[len(before.split()) - 2]]
