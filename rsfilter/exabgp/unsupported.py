"""Releases of ExaBGP that are not supported, and the remedy."""

from __future__ import annotations

FIRST_UNSUPPORTED = 6
"""ExaBGP's first series whose End-of-RIB is no JSON, and whose answers to `show` are others."""


def is_unsupported(version: str) -> bool:
    """Return whether a release, or the version in a JSON line, belongs to an unsupported series."""
    return int(version.partition(".")[0]) >= FIRST_UNSUPPORTED


class UnsupportedExaBgpError(Exception):
    """ExaBGP is of a release that rsfilter must not run behind."""

    def __init__(self, version: str) -> None:
        super().__init__(
            f"this is ExaBGP {version}, and rsfilter does not run behind ExaBGP 6 or later: its "
            "End-of-RIB is not JSON and its answers to `show` differ, so that a restart of "
            "rsfilter would withdraw every route. Install ExaBGP 5.0.15 or a later 5.0 "
            "(pip install 'exabgp>=5.0.15,<6')"
        )
