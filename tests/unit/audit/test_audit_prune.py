"""`rsfilter audit prune`: old files go, oldest first, and none that was not shipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.config_sample import configuration
from support.fleet_samples import FLEET, database, lines, ship_all, shipper, write

from rsfilter.audit.chain import claimed_link
from rsfilter.audit.files import list_keys
from rsfilter.audit.prune import first_seq, prune
from rsfilter.audit.verify import verify
from rsfilter.cli import main


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Four files of one day, the last of them still open."""
    write(tmp_path / "audit", 1500, max_bytes=300_000)
    assert len(list_keys(tmp_path / "audit")) == 4
    return tmp_path / "audit"


def test_closed_files_of_older_days_are_removed(log: Path) -> None:
    assert list(prune(log, "2026-11-22")) == []
    removed = list(prune(log, "2026-11-23"))
    assert [key.number for key in removed] == [0, 1, 2]
    assert [key.number for key in list_keys(log)] == [3]
    assert verify(log).is_ok


def test_what_was_not_shipped_stays(log: Path) -> None:
    keys = list_keys(log)
    second = first_seq(log, keys[1])
    assert second is not None
    assert list(prune(log, "2026-11-23", second - 2)) == []
    assert list(prune(log, "2026-11-23", second - 1)) == keys[:1]


def test_a_file_that_is_not_compressed_yet_stays(log: Path) -> None:
    key = list_keys(log)[1]
    (log / key.name).write_bytes(b"")
    assert [key.number for key in prune(log, "2026-11-23")] == [0]


@pytest.mark.lab
def test_no_file_is_removed_before_the_database_has_it(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with database("rs1") as server:
        toml = log.parent / "rsfilter.toml"
        fleet = f'[fleet]\nname = "{FLEET}"\ndatabase = "{server.url("rs1")}"\n'
        toml.write_text(configuration() + fleet)
        prune_all = ["audit", "prune", "-c", str(toml), "--before", "2026-11-24"]
        assert main(prune_all) == 0
        assert capsys.readouterr().out == "removed 0 files\n"
        shipping = shipper(server, "rs1", log)
        shipping.step()
        reached = shipping.state.shipped.seq
        assert main(prune_all) == 0
        assert capsys.readouterr().out == "removed 1 file\n"
        assert claimed_link(lines(log)[0]).seq <= reached + 1
        ship_all(shipping)
        assert not shipping.state.problem
        server.stop()
        assert main(prune_all) == 1
        assert capsys.readouterr().err.startswith("rsfilter audit prune: nothing is removed: ")
        assert main([*prune_all, "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["error"] == "failed"
        assert len(list_keys(log)) == 3
