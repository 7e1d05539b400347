"""Actions of a command as a table: `rsfilter COMMAND ACTION`, one row for each. Arguments that
several commands describe alike."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rsfilter.commands.arguments import asn, count
from rsfilter.routing.reasons import REASONS


class Argument(NamedTuple):
    """An argument, as `add_argument` of argparse takes it."""

    names: tuple[str, ...]
    options: dict[str, Any]


def argument(*names: str, **options: Any) -> Argument:
    """Describe an argument in the words of argparse."""
    return Argument(names, options)


class Action(NamedTuple):
    """An action, with all that its `--help` prints."""

    name: str
    run: Callable[[Namespace], int]
    help: str
    description: str
    parents: Sequence[ArgumentParser] = ()
    """Arguments that other commands have too; they come first."""
    arguments: Sequence[Argument] = ()
    defaults: Mapping[str, object] = {}
    """Values of the namespace that no argument of this action sets."""


def add_arguments(parser: ArgumentParser, arguments: Sequence[Argument]) -> None:
    """Add arguments in this order."""
    for names, options in arguments:
        parser.add_argument(*names, **options)


def add_actions(parser: ArgumentParser, actions: Sequence[Action]) -> None:
    """Add the actions of a command; one of them has to be named."""
    chosen = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action in actions:
        inner = chosen.add_parser(
            action.name,
            parents=list(action.parents),
            help=action.help,
            description=action.description,
        )
        add_arguments(inner, action.arguments)
        inner.set_defaults(handler=action.run, **action.defaults)


SHOWN = 100
"""Default number of routes in a table: as many as a person can read."""

LIMIT = argument(
    "--limit",
    type=count,
    metavar="N",
    help=f"only the first N; 0 for all (default: {SHOWN}, with --json all)",
)

ASN = argument("--asn", type=asn, metavar="N", help="AS of the session")

REASON = argument(
    "--reason", choices=list(REASONS), metavar="REASON", help="one of docs/reasons.md"
)

VERDICT = argument("--verdict", choices=["accepted", "rejected", "held"])


def match(what: str) -> Argument:
    """Describe `--match` for a table of `what`."""
    return argument(
        "--match",
        choices=["covering", "covered", "exact"],
        default="covering",
        help=f"{what} whose prefix covers PREFIX, is in it, or equals it (default: %(default)s)",
    )


JSON = argument("--json", action="store_true", help="print JSON")

JSON_LINES = argument("--json", action="store_true", help="print JSON, one object per line")
