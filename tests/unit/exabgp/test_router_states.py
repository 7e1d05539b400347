"""The table of a router's states: complete, all of it reachable, and what the router does."""

from __future__ import annotations

import re

import pytest
from support.core_samples import address, prefix

from rsfilter.exabgp.router import WINDOW, RouterState
from rsfilter.exabgp.router_states import (
    DOWN,
    NEVER,
    STAYS,
    TRANSITIONS,
    Barrier,
    IllegalSignalError,
    Phase,
    Signal,
    State,
    follow,
)
from rsfilter.routing.export import OutAttributes

STATES = {state for state, _ in TRANSITIONS}

FROM_OUTSIDE = {Signal.DOWN, Signal.REPLY, Signal.END_OF_RIB, Signal.DOUBT}
"""Events that ExaBGP, the network or the clock causes, at any time."""

ONE = address("192.0.2.10")
A = prefix("203.0.113.1")
PATHS = ((0, OutAttributes(address("198.51.100.1"), (65001,), "igp", None, (), (), ())),)


def test_every_state_has_a_cell_for_every_signal() -> None:
    up = (Phase.FILLING, Phase.SETTLED)
    assert {DOWN, *(State(phase, barrier) for phase in up for barrier in Barrier)} == STATES
    assert len(TRANSITIONS) == len(STATES) * len(Signal)


def test_every_state_is_reached_from_down() -> None:
    reached, waiting = {DOWN}, [DOWN]
    while waiting:
        state = waiting.pop()
        legal = [signal for signal in Signal if TRANSITIONS[state, signal] is not NEVER]
        new = {follow(state, signal) for signal in legal} - reached
        reached |= new
        waiting += new
    assert reached == STATES


def test_no_input_from_outside_is_an_illegal_event() -> None:
    assert not [
        (state, signal)
        for (state, signal), cell in TRANSITIONS.items()
        if cell is NEVER and signal in FROM_OUTSIDE
    ]


def test_a_router_settles_only_at_an_end_of_rib_after_the_reply() -> None:
    """Rule 2: until then it gets no withdraws."""
    ways = {
        (state.barrier, signal)
        for (state, signal), cell in TRANSITIONS.items()
        if state.phase is Phase.FILLING and isinstance(cell, State) and cell.phase is Phase.SETTLED
    }
    assert ways == {(Barrier.TAKEN, Signal.END_OF_RIB), (Barrier.STALLED, Signal.END_OF_RIB)}


@pytest.mark.parametrize(
    ("state", "signal"), [pair for pair, cell in TRANSITIONS.items() if cell is NEVER], ids=str
)
def test_illegal_signals_raise(state: State, signal: Signal) -> None:
    with pytest.raises(IllegalSignalError, match=re.escape(signal.value)):
        follow(state, signal)


# The router walks the table -----------------------------------------------------------------------

_TO_PHASE: dict[Phase, list[Signal]] = {
    Phase.DOWN: [],
    Phase.FILLING: [Signal.UP],
    Phase.SETTLED: [Signal.UP, Signal.WRITE, Signal.REPLY, Signal.END_OF_RIB],
}
_TO_BARRIER: dict[Barrier, list[Signal]] = {
    Barrier.NONE: [],
    Barrier.WRITTEN: [Signal.WRITE],
    Barrier.CROSSED: [Signal.WRITE, Signal.END_OF_RIB],
    Barrier.TAKEN: [Signal.WRITE, Signal.REPLY],
    Barrier.STALLED: [Signal.WRITE, Signal.END_OF_RIB, Signal.REPLY],
}


def signal_to(router: RouterState, signal: Signal) -> None:
    """Do to a router what the signal stands for."""
    match signal:
        case Signal.UP:
            router.up([A])
            router.take({A: PATHS}, WINDOW)
        case Signal.DOWN:
            router.down()
        case Signal.WRITE:
            if router.phase is Phase.SETTLED:  # something has to wait for it
                router.adopt(A, 0, is_doubtful=True)
            assert router.barrier()
        case Signal.REPLY:
            router.barrier_taken()
        case Signal.END_OF_RIB:
            router.end_of_rib_sent()
        case Signal.AGAIN:
            assert router.barrier_again(is_late=True)
        case Signal.DOUBT:
            router.doubt()


@pytest.mark.parametrize(
    ("state", "signal"),
    [pair for pair, cell in TRANSITIONS.items() if cell is not NEVER],
    ids=str,
)
def test_the_router_follows_the_table(state: State, signal: Signal) -> None:
    router = RouterState(ONE)
    for each in (*_TO_PHASE[state.phase], *_TO_BARRIER[state.barrier]):
        signal_to(router, each)
    assert router.state == state
    signal_to(router, signal)
    cell = TRANSITIONS[state, signal]
    assert router.state == (state if cell is STAYS else cell)
