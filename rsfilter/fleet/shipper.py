"""Shipper of an audit log into the database, block after block.

The cursor is the newest block in the database: no state is kept here. After any failure, the next
step queries the database for the place to continue. Shipped records are never repaired: if the log
here and the database differ, shipping stops with a problem until an operator has found the cause.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from rsfilter.audit.chain import Link
from rsfilter.audit.files import UNREADABLE as UNREADABLE_FILE
from rsfilter.fleet.block import START, Block, DamagedError
from rsfilter.fleet.reader import ForkError, LogReader, PrunedError

FORKED = (
    "the log here was rewritten or lost, or another machine ships as this instance; nothing more "
    "is shipped until an operator has found the cause (docs/fleet.md, A fork)"
)
PRUNED = "ship them from a copy: rsfilter fleet ship --directory COPY (docs/fleet.md, A gap)"
DAMAGED = "rsfilter audit verify shows details; nothing more is shipped"
UNREADABLE = "the audit log cannot be read"


class Store(Protocol):
    """Destination of blocks."""

    def newest(self) -> Link:
        """The last record that is there."""

    def append(self, block: Block) -> None:
        """Add a block; returns when it is safe."""


class ShippingState(NamedTuple):
    """Progress, and the problem that stops it."""

    shipped: Link
    """The last record that is in the database, as far as is known."""
    head: int
    """The last record that could be."""
    problem: str = ""
    """Problem, from an enumeration for alarms: fork, pruned, damaged, unreadable, or a
    `database.Kind` in lower case. Empty if there is none."""
    detail: str = ""
    """The same for people: what, where, and what to do."""

    @property
    def behind(self) -> int:
        """Records that wait."""
        return max(0, self.head - self.shipped.seq)


class Shipper:
    """One log and one database."""

    def __init__(self, directory: Path, store: Store) -> None:
        self._directory = directory
        self._store = store
        self._reader = LogReader(directory)
        self._is_placed = False
        """The reader is where the database wants to go on."""
        self.state = ShippingState(START, 0)

    def step(self) -> bool:
        """Ship one block, if there is one; False if there is nothing to do now or a problem, which
        `state` has. Raises what the store raises, after which the next step begins anew."""
        try:
            return self._step()
        except ForkError as error:
            self._fail("fork", f"{error}: {FORKED}")
        except PrunedError as error:
            self._fail("pruned", f"{error}: {PRUNED}")
        except DamagedError as error:
            self._fail("damaged", f"{error}: {DAMAGED}")
        except OSError as error:
            self._fail("unreadable", f"{self._directory}: {error.strerror or error}: {UNREADABLE}")
        except UNREADABLE_FILE as error:
            self._fail("damaged", f"{self._directory}: {error}: {DAMAGED}")
        except Exception:
            self._is_placed = False
            raise
        return False

    def fail(self, problem: str, detail: str) -> None:
        """Note a problem of the store."""
        self._fail(problem, detail)

    def _fail(self, problem: str, detail: str) -> None:
        self._is_placed = False
        self.state = self.state._replace(problem=problem, detail=detail)

    def _step(self) -> bool:
        head = self._reader.head()
        if not self._is_placed:
            self._place(head)
        self.state = ShippingState(self._reader.after, max(head, self._reader.after.seq))
        block = self._reader.block(head)
        if block is None:
            return False
        self._store.append(block)
        self.state = ShippingState(self._reader.after, head)
        return True

    def _place(self, head: int) -> None:
        """Go to where the database wants to go on."""
        newest = self._store.newest()
        self.state = self.state._replace(shipped=newest, head=head)
        self._reader.seek(newest)
        self._is_placed = True
