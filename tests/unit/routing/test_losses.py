"""Losses within a window, beside a list that is gone through."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.core_samples import address, prefix

from rsfilter.routing import losses
from rsfilter.routing.losses import Losses
from rsfilter.routing.model import RouteKey

KEYS = [RouteKey(address("198.51.100.7"), prefix(f"203.0.113.{n}/32"), 0) for n in range(6)]
keys = st.sampled_from(KEYS)


class LossesMachine(RuleBasedStateMachine):
    """Losses come, are taken back and expire, in every order. One is forgotten at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = patch.object(losses, "FORGOTTEN_AT_ONCE", 1)
        self.patch.start()
        self.losses = Losses()
        self.expected: dict[RouteKey, float] = {}
        self.now = 0.0

    def teardown(self) -> None:
        self.patch.stop()

    @rule(seconds=st.integers(0, 2))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(key=keys)
    def a_route_is_lost(self, key: RouteKey) -> None:
        self.losses.add(key, self.now)
        self.expected.pop(key, None)
        self.expected[key] = self.now

    @rule(key=keys)
    def a_route_is_back(self, key: RouteKey) -> None:
        self.losses.discard(key)
        self.expected.pop(key, None)

    @rule(window=st.integers(0, 4))
    def the_window_moves(self, window: int) -> None:
        until = self.now - window
        self.losses.expire(until)
        self.expected = {key: at for key, at in self.expected.items() if at > until}

    @rule()
    def the_window_begins_anew(self) -> None:
        assert [key for lost in self.losses.clear() for key in lost] == list(self.expected)
        self.expected.clear()

    @invariant()
    def those_within_the_window_count(self) -> None:
        assert len(self.losses) == len(self.expected)
        assert self.losses.keys() == list(self.expected)


TestLosses = LossesMachine.TestCase


def test_expired_losses_are_forgotten_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call goes through all that expire at once, and in the end their memory is free."""
    monkeypatch.setattr(losses, "FORGOTTEN_AT_ONCE", 2)
    found = Losses()
    for key in KEYS:
        found.add(key, 1.0)
    left = []
    for _ in range(3):
        found.expire(1.0)
        left.append(len(found._moment))
    assert (len(found), left) == (0, [4, 2, 0])
    assert not found._expired
