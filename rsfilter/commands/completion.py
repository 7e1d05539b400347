"""`rsfilter completion`: print a completion script for a shell."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from rsfilter.commands.arguments import Subparsers
from rsfilter.commands.output import GOOD


def add(commands: Subparsers) -> None:
    """Add `completion` to the command line."""
    parser = commands.add_parser(
        "completion",
        help="print the completion script of a shell",
        description="bash: rsfilter completion bash > /etc/bash_completion.d/rsfilter; "
        "zsh: rsfilter completion zsh > a directory of $fpath, as _rsfilter; "
        "fish: rsfilter completion fish > ~/.config/fish/completions/rsfilter.fish",
    )
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], metavar="{bash,zsh,fish}")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Print the completion script."""
    import shtab

    from rsfilter.cli import command_line

    parser = command_line()
    if args.shell == "fish":
        made = "\n".join(_fish(parser))
    else:
        _prepare(parser)
        made = shtab.complete(parser, args.shell)
    sys.stdout.write(made + "\n")
    return GOOD


def _prepare(parser: argparse.ArgumentParser) -> None:
    """Add what shtab reads: the arguments that name files, and short texts for its lists."""
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {each.dest: each.help for each in action._choices_actions}
            for name, inner in action.choices.items():
                inner.description = helps.get(name)  # shtab would list the long one
                _prepare(inner)
        elif action.type is Path:
            kind = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE
            action.complete = kind  # type: ignore[attr-defined]
        elif action.choices is None and action.nargs != 0:
            # no candidates: without this zsh prints what is expected, and then completes no option
            action.complete = {"zsh": "false"}  # type: ignore[attr-defined]


def _fish(parser: argparse.ArgumentParser, before: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the lines of a completion script for fish, which shtab does not make."""
    seen = " && ".join(f"__fish_seen_subcommand_from {word}" for word in before)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {each.dest: each.help or "" for each in action._choices_actions}
            names = " ".join(action.choices)
            when = f"not __fish_seen_subcommand_from {names}" + (f" && {seen}" if seen else "")
            for name, inner in action.choices.items():
                yield _fish_line(when, f"-f -a {name}", helps.get(name, ""))
                yield from _fish(inner, (*before, name))
        elif action.help != argparse.SUPPRESS:
            for option in action.option_strings:
                kind = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
                takes = " -r" if action.nargs != 0 else ""
                if action.choices is not None:
                    takes += f" -f -a {shlex.quote(' '.join(map(str, action.choices)))}"
                yield _fish_line(seen, kind + takes, action.help or "")


def _fish_line(when: str, what: str, text: str) -> str:
    condition = f" -n {shlex.quote(when)}" if when else ""
    description = text.replace("%(default)s", "").partition(" (default")[0]
    return f"complete -c rsfilter{condition} {what} -d {shlex.quote(description)}"
