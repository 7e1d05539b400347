"""`rsfilter truth`: checks a truth file, and converts it for other programs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rsfilter.commands.actions import JSON, Action, add_actions, argument
from rsfilter.commands.arguments import Subparsers
from rsfilter.commands.output import GOOD, print_note, print_table, print_total
from rsfilter.commands.truth_diff import compare, differences
from rsfilter.edge.truth_file import load_truth
from rsfilter.rpki.document import Problem
from rsfilter.rpki.truth import Truth, TruthError, truth_export
from rsfilter.util.text import clean, count, to_json


def add(commands: Subparsers) -> None:
    """Add `truth` to the command line."""
    parser = commands.add_parser("truth", help="check a truth file, or convert it")
    add_actions(parser, _actions())


def _actions() -> tuple[Action, ...]:
    file = argument("file", type=Path, metavar="FILE", help="the truth file")
    return (
        Action(
            "check",
            _check,
            help="summarize a truth file, or print every error in it",
            description="Reads a truth file of any form as run does, and prints a summary, or "
            "every error with its place.",
            arguments=(file, JSON),
        ),
        Action(
            "diff",
            _diff,
            help="compare two truth files",
            description="Prints hosts and address space that a new truth file adds, removes or "
            "gives to another AS. Exit code 0 also if they differ; `impact` shows the effect on "
            "live routes.",
            arguments=(
                argument("old", type=Path, metavar="OLD", help="the old truth file"),
                argument("new", type=Path, metavar="NEW", help="the new truth file"),
                JSON,
            ),
        ),
        Action(
            "export",
            _export,
            help="convert a truth file for another program",
            description="Prints the VRPs of a truth file in another program's format. The same "
            "truth always gives the same bytes.",
            arguments=(
                file,
                argument(
                    "--format",
                    choices=["stayrtr"],
                    required=True,
                    help="stayrtr: what StayRTR and GoRTR read",
                ),
            ),
        ),
    )


def _diff(args: argparse.Namespace) -> int:
    old, new = (load_truth(path, may_be_empty=True) for path in (args.old, args.new))
    found = compare(old, new)
    if args.json:
        sys.stdout.write(to_json(found, indent=2) + "\n")
        return GOOD
    before, after = (_revision(truth) for truth in (old, new))
    sys.stdout.write(clean(f"{before} -> {after}") + "\n")
    rows = list(differences(found))
    print_table(("", "what", "who"), rows)
    if not rows:
        print_note("These truths do not differ.")
    print_total(f"{count(len(found['added']), 'prefix')} added, {len(found['removed'])} removed")
    return GOOD


def _revision(truth: Truth) -> str:
    return f"revision {truth.revision or 'unnamed'} ({count(len(truth.vrps), 'VRP')})"


def _check(args: argparse.Namespace) -> int:
    truth = load_truth(args.file, may_be_empty=True)
    summary = _summary(truth)
    if args.json:
        sys.stdout.write(to_json({"file": str(args.file), **summary}, indent=2) + "\n")
        return GOOD
    sys.stdout.write(clean(f"{args.file}: ok") + "\n")
    for name, value in summary.items():
        for line in value if isinstance(value, list) else [value]:
            sys.stdout.write(clean(f"{name}: {line}") + "\n")
    return GOOD


def _summary(truth: Truth) -> dict[str, Any]:
    return {
        "format": truth.format,
        "vrps": len(truth.vrps),
        "hosts": len(truth.hosts),
        "filters": len(truth.filters),
        "revision": truth.revision,
        "sha256": truth.sha256,
        "warnings": [str(warning) for warning in truth.warnings],
    }


def _export(args: argparse.Namespace) -> int:
    try:
        exported = truth_export(load_truth(args.file), args.format)
    except ValueError as error:
        raise TruthError((Problem(str(args.file), "", str(error)),)) from None
    sys.stdout.write(exported.decode())
    return GOOD
