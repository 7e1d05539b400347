"""`rsfilter completion`: print a completion script for a shell."""

from __future__ import annotations

import argparse
import sys

from rsfilter.commands.arguments import Subparsers
from rsfilter.commands.output import GOOD


def add(commands: Subparsers) -> None:
    """Add `completion` to the command line."""
    parser = commands.add_parser(
        "completion",
        help="what makes the shell complete commands",
        description="bash: rsfilter completion bash > /etc/bash_completion.d/rsfilter; "
        "zsh: rsfilter completion zsh > a directory of $fpath, as _rsfilter",
    )
    parser.add_argument("shell", choices=["bash", "zsh"], metavar="{bash,zsh}")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Print the completion script."""
    import shtab

    from rsfilter.cli import command_line

    sys.stdout.write(shtab.complete(command_line(), args.shell) + "\n")
    return GOOD
