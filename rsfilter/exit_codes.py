"""What commands of `rsfilter` end with (docs/commands.md); `argparse` knows INVALID by itself."""

from __future__ import annotations

GOOD = 0
FAILED = 1
INVALID = 2
"""Usage, configuration or truth."""
LOSSES = 3
"""`impact` found routes that routers would lose."""
INTERRUPTED = 130
"""What shells say of a program that SIGINT ended."""
