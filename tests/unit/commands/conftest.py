"""A running filter for the commands that query one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.web_site import running_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a filter with four routes, one of them rejected."""
    place = tmp_path_factory.mktemp("a site")
    with running_site(place):
        yield place


@pytest.fixture
def _at_site(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site)
