"""The states of a router's session, as a table: what may follow what.

A state is a phase and how far the barrier under way has got (`router` explains barriers).
The table is complete: each state has a row, each signal a column. Its three kinds of cells:

- another state: it follows;
- `STAYS`: the signal changes nothing. It comes from ExaBGP, at any time and in any order;
- `NEVER`: a bug of ours. `follow` raises `IllegalSignalError`.

docs/router-states.md is made from this table.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Phase(Enum):
    """Phase of a router's session."""

    DOWN = "down"
    FILLING = "filling"
    """Up; gets announcements only, until both End-of-RIBs have gone out."""
    SETTLED = "settled"


class Barrier(Enum):
    """Progress of the barrier under way."""

    NONE = "none"
    WRITTEN = "written"
    """The command is written. An End-of-RIB that goes out now may be an old one."""
    CROSSED = "crossed"
    """An End-of-RIB went out before the reply: the barrier's own, after which none has to follow,
    or an old one."""
    TAKEN = "taken"
    """ExaBGP has replied: the next End-of-RIB that goes out passes the barrier."""
    STALLED = "stalled"
    """ExaBGP has replied after an End-of-RIB that may have been the barrier's own: one more is
    requested, because none may follow."""


class Signal(Enum):
    """A cause of another state."""

    UP = "session up"
    DOWN = "session down"
    WRITE = "we write a barrier"
    REPLY = "reply to it"
    END_OF_RIB = "End-of-RIB sent"
    AGAIN = "we request one more"
    DOUBT = "error or timeout"


class State(NamedTuple):
    """The state of one router's session."""

    phase: Phase
    barrier: Barrier = Barrier.NONE

    def __str__(self) -> str:
        if self.barrier is Barrier.NONE:
            return self.phase.value
        return f"{self.phase.value}, {self.barrier.value}"


class IllegalSignalError(Exception):
    """A signal that cannot come in this state: a bug of rsfilter."""


class _Cell(Enum):
    STAYS = "stays"
    NEVER = "never"


STAYS, NEVER = _Cell.STAYS, _Cell.NEVER

DOWN = State(Phase.DOWN)
_F, _F_WRITTEN, _F_CROSSED, _F_TAKEN, _F_STALLED = (State(Phase.FILLING, b) for b in Barrier)
_S, _S_WRITTEN, _S_CROSSED, _S_TAKEN, _S_STALLED = (State(Phase.SETTLED, b) for b in Barrier)

# fmt: off
_ROWS: dict[State, tuple[State | _Cell, ...]] = {
    #            UP     DOWN   WRITE       REPLY       END_OF_RIB  AGAIN     DOUBT
    DOWN:       (_F,    STAYS, NEVER,      STAYS,      STAYS,      NEVER,    STAYS),
    _F:         (NEVER, DOWN,  _F_WRITTEN, STAYS,      STAYS,      NEVER,    STAYS),
    _F_WRITTEN: (NEVER, DOWN,  NEVER,      _F_TAKEN,   _F_CROSSED, NEVER,    _F),
    _F_CROSSED: (NEVER, DOWN,  NEVER,      _F_STALLED, STAYS,      NEVER,    _F),
    _F_TAKEN:   (NEVER, DOWN,  NEVER,      STAYS,      _S,         STAYS,    _F),
    _F_STALLED: (NEVER, DOWN,  NEVER,      STAYS,      _S,         _F_TAKEN, _F),
    _S:         (NEVER, DOWN,  _S_WRITTEN, STAYS,      STAYS,      NEVER,    STAYS),
    _S_WRITTEN: (NEVER, DOWN,  NEVER,      _S_TAKEN,   _S_CROSSED, NEVER,    _S),
    _S_CROSSED: (NEVER, DOWN,  NEVER,      _S_STALLED, STAYS,      NEVER,    _S),
    _S_TAKEN:   (NEVER, DOWN,  NEVER,      STAYS,      _S,         STAYS,    _S),
    _S_STALLED: (NEVER, DOWN,  NEVER,      STAYS,      _S,         _S_TAKEN, _S),
}
# fmt: on

TRANSITIONS = {
    (state, signal): cell
    for state, row in _ROWS.items()
    for signal, cell in zip(Signal, row, strict=True)
}


def follow(state: State, signal: Signal) -> State:
    """Return the state after a signal. IllegalSignalError if it can never come in this state."""
    cell = TRANSITIONS[state, signal]
    if cell is NEVER:
        raise IllegalSignalError(f"{signal.value}, while the router is {state}")
    return state if isinstance(cell, _Cell) else cell
