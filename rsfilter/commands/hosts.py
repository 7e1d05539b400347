"""Names of hosts in arguments: one that does not exist is an error, with the one that was meant.

Nothing found would read like good news.
"""

from __future__ import annotations

import argparse

from rsfilter.commands.client import Client
from rsfilter.commands.errors import CommandError
from rsfilter.commands.output import INVALID
from rsfilter.commands.parser import did_you_mean
from rsfilter.config.build import load_config
from rsfilter.config.model import ConfigError
from rsfilter.config.source import default_path
from rsfilter.edge.truth_file import load_truth
from rsfilter.rpki.truth import TruthError


def check_host(client: Client, name: str | None) -> None:
    """Raise CommandError if the running filter knows neither a host nor a group of this name."""
    if name is None:
        return
    neighbors = client.get("/api/v1/neighbors")["neighbors"]
    known = {each[key] for each in neighbors for key in ("host", "group") if each[key]}
    if name not in known:
        hint = did_you_mean(name, sorted(known))
        message = (
            f"neither a host with a session or in truth, nor a group, is called {name!r}{hint}"
        )
        raise CommandError(message, INVALID)


def meant_in_truth(args: argparse.Namespace) -> str:
    """Return `; did you mean ...?` if the configured truth has a host with nearly the name that was
    given. An old record may be of a host that truth no longer has: so it is no error."""
    try:
        config = load_config(args.config or default_path())
        truth = load_truth(config.truth.file, may_be_empty=True) if config.truth else None
    except (ConfigError, TruthError, OSError):
        return ""
    names = [host.name for host in truth.hosts] if truth else []
    return "" if args.host in names else did_you_mean(args.host, names)
