"""The manual pages, from what the reference is made from: the parser of the command line,
docs/configuration.md and docs/truth.md.

    python packaging/man.py DIRECTORY

Run as `make man`. With SOURCE_DATE_EPOCH the same sources give the same octets.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from roff import (
    bold,
    escape,
    filled,
    from_markdown,
    italic,
    page,
    sentences,
    tagged,
    title,
    verbatim,
)

from rsfilter import __version__
from rsfilter.cli import command_line

DOCS = Path(__file__).resolve().parents[1] / "docs"

EXIT_STATUS = {
    "0": "Good.",
    "1": "Failed; for status: something is wrong.",
    "2": "Usage, configuration or truth are invalid.",
    "3": "impact found losses.",
    "130": "Interrupted.",
}

FILES = {
    "/etc/rsfilter/rsfilter.toml": "The configuration, if no -c names one and the current "
    "directory has none.",
    "/etc/rsfilter/truth.json": "The usual place of the truth file.",
    "/var/lib/rsfilter/audit": "The usual place of the audit log.",
    "/run/rsfilter/rsfilter.sock": "The socket that commands use to reach the running filter.",
}

Page = tuple[str, str]
"""File name and text of a page."""


def pages(date: str) -> Iterator[Page]:
    """Yield every page. `date`: of the sources, as YYYY-MM-DD."""
    parser = command_line()
    commands = _subparsers(parser)
    yield "rsfilter.1", _overview(parser, date)
    for name, command in commands.items():
        yield f"rsfilter-{name}.1", _command(name, command, _help_of(parser, name), date)
    yield _from_docs("rsfilter.toml", "configuration.md", "configuration of rsfilter", date)
    yield _from_docs("rsfilter-truth", "truth.md", "truth file of rsfilter", date)


def _from_docs(name: str, source: str, summary: str, date: str) -> Page:
    text = (DOCS / source).read_text(encoding="utf-8")
    head = title(name, 5, summary, date, f"rsfilter {__version__}")
    return f"{name}.5", page(head, from_markdown(text), _see_also(("rsfilter", 1), *_CHECKS))


def _overview(parser: argparse.ArgumentParser, date: str) -> str:
    commands = _subparsers(parser)
    text = title("rsfilter", 1, parser.description or "", date, f"rsfilter {__version__}")
    text += ".SH SYNOPSIS\n" + _synopsis(parser)
    text += ".SH DESCRIPTION\n" + filled(
        "rsfilter runs behind ExaBGP. It checks each route that a host announces against the "
        "RPKI and a truth file, passes on what is accepted, and logs every verdict."
    )
    text += ".SH COMMANDS\n"
    for name in commands:
        text += tagged(f"{bold(f'rsfilter-{name}')}(1)", escape(sentences(_help_of(parser, name))))
    text += ".SH OPTIONS\n" + _options(parser)
    text += ".SH FILES\n"
    text += "".join(tagged(bold(path), escape(meaning)) for path, meaning in FILES.items())
    others = (*((f"rsfilter-{name}", 1) for name in commands), *_FORMATS)
    return page(text, _exit_status(), _see_also(*sorted(others)))


_CHECKS = (("rsfilter-check", 1), ("rsfilter-truth", 1))
_FORMATS = (("rsfilter-truth", 5), ("rsfilter.toml", 5))


def _command(name: str, parser: argparse.ArgumentParser, summary: str, date: str) -> str:
    text = title(f"rsfilter-{name}", 1, summary, date, f"rsfilter {__version__}")
    text += ".SH SYNOPSIS\n" + _synopsis(parser)
    text += ".SH DESCRIPTION\n" + filled(escape(sentences(parser.description or summary)))
    actions = _subparsers(parser)
    if options := _options(parser):
        text += ".SH OPTIONS\n" + options
    if actions:
        text += ".SH ACTIONS\n"
    for action, inner in actions.items():
        text += f'.SS "{escape(action)}"\n' + _synopsis(inner)
        about = inner.description or _help_of(parser, action)
        text += ".PP\n" + filled(escape(sentences(about)))
        text += _options(inner) + _examples(inner)
    if examples := _examples(parser):
        text += ".SH EXAMPLES\n" + examples
    return page(text, _exit_status(), _see_also(("rsfilter", 1), *_FORMATS))


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers below one, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _help_of(parser: argparse.ArgumentParser, name: str) -> str:
    """Return the line of a command in the help of the parser above it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                if choice.dest == name:
                    return choice.help or ""
    raise LookupError(name)


def _synopsis(parser: argparse.ArgumentParser) -> str:
    formatter = argparse.HelpFormatter(parser.prog, width=10_000)  # folded by `filled`
    formatter.add_usage(None, parser._actions, parser._mutually_exclusive_groups)
    usage = " ".join(formatter.format_help().removeprefix("usage: ").split())
    words = usage.removeprefix(parser.prog)
    return filled(bold(parser.prog) + escape(words))


def _options(parser: argparse.ArgumentParser) -> str:
    """Return a list of options and arguments, without those of actions below."""
    formatter = parser._get_formatter()
    made = ""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or action.help == argparse.SUPPRESS:
            continue
        value = ""
        if action.nargs != 0:
            default = formatter._get_default_metavar_for_optional(action)
            if not action.option_strings:
                default = formatter._get_default_metavar_for_positional(action)
            value = italic(formatter._format_args(action, default))
        names = ", ".join(
            bold(option) + (f" {value}" if value else "") for option in action.option_strings
        )
        about = formatter._expand_help(action) if action.help else ""
        made += tagged(names or value, escape(sentences(about)))
    return made


def _examples(parser: argparse.ArgumentParser) -> str:
    """Return the commands of an epilog that has examples."""
    _, _, lines = (parser.epilog or "").partition("\n")
    return verbatim("\n".join(line[2:] for line in lines.splitlines())) if lines else ""


def _exit_status() -> str:
    entries = (tagged(bold(code), escape(text)) for code, text in EXIT_STATUS.items())
    return '.SH "EXIT STATUS"\n' + "".join(entries)


def _see_also(*names: tuple[str, int]) -> str:
    ends = [","] * (len(names) - 1) + [""]
    lines = (
        f".BR {escape(name)} ({section}){end}\n"
        for (name, section), end in zip(names, ends, strict=True)
    )
    return '.SH "SEE ALSO"\n' + "".join(lines)


def main() -> int:
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    now = float(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    date = time.strftime("%Y-%m-%d", time.gmtime(now))
    for name, text in pages(date):
        (directory / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
