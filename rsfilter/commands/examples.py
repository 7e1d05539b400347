"""Examples for `--help`: what people type most, by command.

They stand in one place, so that a test can parse each, and no command is without.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

EXAMPLES: dict[str, tuple[str, ...]] = {
    "init": (
        "rsfilter init -o /etc/rsfilter",
        "rsfilter init --asn 65100 --address 192.0.2.100 --hosts-from 198.51.100.0/25 \\",
        "  --router 192.0.2.10 --router-asn 65200 --host hv1,65001,198.51.100.1,203.0.113.1",
    ),
    "run": (
        "rsfilter run -c /etc/rsfilter/rsfilter.toml",
        "rsfilter run --record /var/tmp/recording",
    ),
    "check": ("rsfilter check", "rsfilter check -c new.toml --json"),
    "replay": ("rsfilter replay --audit /tmp/audit recording",),
    "explain": (
        "rsfilter explain 203.0.113.7",
        "rsfilter explain 203.0.113.7 --neighbor 198.51.100.1",
        "rsfilter explain 203.0.113.7 --asn AS65001",
    ),
    "truth": ("rsfilter truth check new.json", "rsfilter truth diff truth.json new.json"),
    "truth check": ("rsfilter truth check new.json",),
    "truth export": ("rsfilter truth export truth.json --format stayrtr > roas.json",),
    "truth diff": ("rsfilter truth diff truth.json new.json",),
    "render": ("rsfilter render exabgp -o /etc/rsfilter",),
    "render exabgp": (
        "rsfilter render exabgp -o /etc/rsfilter",
        "rsfilter render exabgp -c new.toml -o /tmp/rendered",
    ),
    "render alice": ("rsfilter render alice rs2.toml >> alice.conf",),
    "impact": (
        "rsfilter impact --truth new.json",
        "rsfilter impact --truth new.json --snapshot routes.ndjson --markdown",
    ),
    "status": (
        "rsfilter status",
        "rsfilter status --quiet || page-somebody",
        "rsfilter status --url http://rs1.example.net:8480 --json",
    ),
    "neighbors": (
        "rsfilter neighbors",
        "rsfilter neighbors --state down",
        "rsfilter neighbors --host hv1 --json",
    ),
    "routes": (
        "rsfilter routes 203.0.113.7",
        "rsfilter routes 203.0.113.0/24 --match covered",
        "rsfilter routes --host hv1 --verdict rejected",
    ),
    "watch": ("rsfilter watch", "rsfilter watch session absence", "rsfilter watch --json"),
    "guard": ("rsfilter guard show", "rsfilter guard release 203.0.113.7"),
    "guard show": ("rsfilter guard show", "rsfilter guard show --json --limit 0"),
    "guard release": (
        "rsfilter guard release",
        "rsfilter guard release 203.0.113.0/24",
        "rsfilter guard release --host hv1 --yes",
    ),
    "drain": ("rsfilter drain on", "rsfilter drain off"),
    "reload": ("rsfilter reload", "rsfilter reload --force"),
    "audit": (
        "rsfilter audit query 203.0.113.7 --since yesterday",
        "rsfilter audit tail -f",
        "rsfilter audit verify",
    ),
    "audit query": (
        "rsfilter audit query 203.0.113.7 --since yesterday",
        "rsfilter audit query --reason origin_invalid_asn --since 7d",
        "rsfilter audit query --host hv1 --event session_down --limit 0",
        "rsfilter audit query 203.0.113.7 --directory /srv/audit --json",
    ),
    "audit tail": ("rsfilter audit tail -n 50", "rsfilter audit tail -f"),
    "audit stats": ("rsfilter audit stats --since 24h",),
    "audit verify": ("rsfilter audit verify", "rsfilter audit verify --directory /srv/audit"),
    "audit index": ("rsfilter audit index",),
    "audit report": ("rsfilter audit report --since 7d -o report.html",),
    "audit prune": ("rsfilter audit prune --before 400d",),
    "fleet": ("rsfilter fleet status", "rsfilter fleet diff"),
    "fleet check": ("rsfilter fleet check rs1.toml rs2.toml --sessions 2",),
    "fleet schema": (
        "rsfilter fleet schema site-a | psql postgresql://db1/rsfilter",
        "rsfilter fleet schema site-a --instance rs1",
    ),
    "fleet ship": ("rsfilter fleet ship",),
    "fleet resume": ("rsfilter fleet resume",),
    "fleet collect": (
        "rsfilter fleet collect --fleet site-a --database postgresql://db1/rsfilter -o /srv/audit",
    ),
    "fleet status": (
        "rsfilter fleet status",
        "rsfilter fleet status --fleet site-a --database postgresql://db1/rsfilter",
    ),
    "fleet diff": ("rsfilter fleet diff", "rsfilter fleet diff --json"),
    "exabgp": ("rsfilter exabgp server exabgp.conf", "rsfilter exabgp --stock server exabgp.conf"),
    "completion": (
        "rsfilter completion bash > /etc/bash_completion.d/rsfilter",
        "rsfilter completion fish > ~/.config/fish/completions/rsfilter.fish",
    ),
    "help": ("rsfilter help audit query",),
    "version": ("rsfilter version", "rsfilter version --json"),
}
"""Lines to be typed, by the words of the command."""


def add_examples(parser: argparse.ArgumentParser) -> None:
    """Add to the help of each command its examples."""
    for words, inner in commands_of(parser):
        inner.epilog = "\n  ".join(("examples:", *EXAMPLES[words])) if words in EXAMPLES else None


def commands_of(
    parser: argparse.ArgumentParser, before: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield each command and action by its words, with its parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                words = f"{before} {name}".strip()
                yield words, inner
                yield from commands_of(inner, words)
