"""Expectations that wait."""

from __future__ import annotations

from http.client import BadStatusLine

import pytest
from lab.waiting import eventually


@pytest.mark.parametrize(
    "failure",
    [AssertionError("503"), ConnectionRefusedError("nobody"), BadStatusLine("")],
    ids=repr,
)
def test_a_probe_that_fails_is_repeated(failure: Exception) -> None:
    failures = [failure, failure]

    def probe() -> str | None:
        if failures:
            raise failures.pop()
        return None

    eventually(probe, interval_s=0)
    assert not failures


def test_a_probe_that_never_succeeds_fails_with_its_last_word() -> None:
    def probe() -> str | None:
        raise AssertionError("status 503")

    with pytest.raises(AssertionError, match="AssertionError: status 503"):
        eventually(probe, deadline_s=0, interval_s=0)
