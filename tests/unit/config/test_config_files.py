"""The files that a configuration names: the warnings of `check`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.places import ROOT

from rsfilter.cli import main
from rsfilter.config.build import load_config
from rsfilter.config.files import file_warnings

MINIMAL = (ROOT / "fixtures" / "config" / "minimal.toml").read_text()
SSH = """
[rtr]
caches = [
  "192.0.2.50:8282",
  { address = "192.0.2.51:8283", transport = "ssh", user = "rpki", key = "id", known_hosts = "kh" },
]
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a space in its name and all that the configurations below name."""
    place = tmp_path / "a b"
    place.mkdir()
    for name in ("id", "kh", "token"):
        (place / name).write_text("x")
    return place


def warnings(place: Path, added: str) -> list[str]:
    (place / "rsfilter.toml").write_text(MINIMAL + added)
    return file_warnings(load_config(place / "rsfilter.toml"))


@pytest.mark.parametrize(
    "added",
    ["", SSH, '[http]\ntoken_file = "token"\n', '[audit]\ndirectory = "not/there/yet"\n'],
)
def test_good_files_have_no_warning(place: Path, added: str) -> None:
    assert warnings(place, added) == []


def test_a_cache_without_its_keys_is_warned_about(place: Path) -> None:
    (place / "id").unlink()
    (place / "kh").unlink()
    (place / "kh").mkdir()
    assert warnings(place, SSH) == [
        f"rtr.caches[1].key: {place / 'id'}: does not exist; 192.0.2.51:8283 will not connect",
        f"rtr.caches[1].known_hosts: {place / 'kh'}: is not a file; "
        "192.0.2.51:8283 will not connect",
    ]


def test_a_pipe_is_not_waited_for(place: Path) -> None:
    (place / "id").unlink()
    os.mkfifo(place / "id")
    assert len(warnings(place, SSH)) == 1


def test_a_token_that_is_not_there(place: Path) -> None:
    assert warnings(place, '[http]\ntoken_file = "no"\n') == [
        f"http.token_file: {place / 'no'}: does not exist; nothing can be changed over HTTP"
    ]


@pytest.mark.parametrize("directory", ["id", "id/below"])
def test_an_audit_directory_that_cannot_be(place: Path, directory: str) -> None:
    assert warnings(place, f'[audit]\ndirectory = "{directory}"\n') == [
        f"audit.directory: {place / 'id'} is not a directory; there will be no audit log"
    ]


def test_files_that_this_user_may_not_use_are_warned_about(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may do everything: so the answer of the system is given here."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert warnings(place, "") == [
        f"audit.directory: {place} cannot be written to; there will be no audit log"
    ]

    def refuses(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "access", lambda *_: True)
    config = MINIMAL + '[http]\ntoken_file = "token"\n'
    (place / "rsfilter.toml").write_text(config)
    loaded = load_config(place / "rsfilter.toml")
    monkeypatch.setattr(Path, "open", refuses)
    (found,) = [each for each in file_warnings(loaded) if "token" in each]
    assert found.startswith(f"http.token_file: {place / 'token'}: Permission denied; ")


def test_check_prints_the_warnings_and_ends_with_0(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`run` continues without the file, because other caches may answer."""
    (place / "id").unlink()
    (place / "rsfilter.toml").write_text(MINIMAL + SSH)
    (place / "truth.json").write_text(
        json.dumps({"roas": [{"prefix": "203.0.113.0/28", "asn": 65007}]})
    )
    assert main(["check", "-c", str(place / "rsfilter.toml")]) == 0
    assert f"warning: rtr.caches[1].key: {place / 'id'}: does not exist" in capsys.readouterr().out


def test_check_warns_of_filters_that_filter_nothing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filters = {"prefixFilters": [{"asn": 65007}], "bgpsecFilters": []}
    (place / "truth.json").write_text(
        json.dumps({"slurmVersion": 1, "validationOutputFilters": filters})
    )
    (place / "rsfilter.toml").write_text(MINIMAL)
    assert main(["check", "-c", str(place / "rsfilter.toml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"][-1:] == [
        "truth.file: has only filters, and there is no [rtr] whose data they could filter: "
        "no host owns any prefix"
    ]
