"""The unix socket for commands: who may use it, and what is there before and after."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from support.speaker import Speaker
from support.web_site import running_site

from rsfilter.cli import main
from rsfilter.util import local_socket


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rsfilter.sock"


def eventually(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


# The socket --------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o027, 0o077, 0o777])
def test_its_owner_and_its_group_may_use_it(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        made = local_socket.listen(path, 5)
    finally:
        os.umask(before)
    status = path.stat()
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o660
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())
    local_socket.connect(path, 1).close()
    local_socket.remove(made)
    made.socket.close()
    assert list(path.parent.iterdir()) == []


def test_its_directory_is_made_and_no_more(tmp_path: Path) -> None:
    made = local_socket.listen(tmp_path / "rsfilter" / "rsfilter.sock", 5)
    assert stat.S_IMODE((tmp_path / "rsfilter").stat().st_mode) & 0o022 == 0
    made.socket.close()
    with pytest.raises(FileNotFoundError):
        local_socket.listen(tmp_path / "a" / "b" / "rsfilter.sock", 5)


def test_what_a_dead_filter_left_is_replaced(path: Path) -> None:
    local_socket.listen(path, 5).socket.close()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(draft))
    made = local_socket.listen(path, 5)
    local_socket.connect(path, 1).close()
    made.socket.close()
    assert not draft.exists()


def test_a_filter_that_lives_keeps_its_socket(path: Path) -> None:
    made = local_socket.listen(path, 5)
    with pytest.raises(OSError, match="another filter answers on it"):
        local_socket.listen(path, 5)
    local_socket.connect(path, 1).close()
    made.socket.close()


def _file(path: Path) -> None:
    path.write_text("precious")


def _link(path: Path) -> None:
    path.symlink_to(path.with_name("precious"))


@pytest.mark.parametrize("put", [_file, _link, Path.mkdir])
def test_what_is_no_socket_stays(path: Path, put: Callable[[Path], None]) -> None:
    put(path)
    before = path.lstat()
    with pytest.raises(FileExistsError, match="is not a socket: remove it"):
        local_socket.listen(path, 5)
    assert path.lstat().st_ino == before.st_ino
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_directory_that_everybody_may_write_is_used_by_neither_end(path: Path) -> None:
    made = local_socket.listen(path, 5)
    path.parent.chmod(0o1777)
    with pytest.raises(PermissionError, match="all users may write to"):
        local_socket.connect(path, 1)
    with pytest.raises(PermissionError, match="all users may write to"):
        local_socket.listen(path, 5)
    made.socket.close()


def test_a_path_may_be_longer_than_the_name_of_a_socket(tmp_path: Path) -> None:
    directory = tmp_path / ("x" * 100) / ("y" * 100)
    directory.mkdir(parents=True)
    made = local_socket.listen(directory / "rsfilter.sock", 5)
    local_socket.connect(directory / "rsfilter.sock", 1).close()
    made.socket.close()


def test_the_socket_of_another_filter_is_not_removed(path: Path) -> None:
    first = local_socket.listen(path, 5)
    first.socket.close()
    second = local_socket.listen(path, 5)
    local_socket.remove(first)
    assert path.exists()
    local_socket.remove(second)
    local_socket.remove(second)
    assert not path.exists()
    second.socket.close()


# The filter --------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Speaker]:
    monkeypatch.chdir(tmp_path)
    with running_site(tmp_path) as speaker:
        eventually((tmp_path / "rsfilter.sock").exists)
        yield speaker


def test_an_operator_needs_no_token_and_the_log_has_who_it_was(
    site: Speaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").unlink()
    assert main(["drain", "on"]) == 0
    assert capsys.readouterr().out.startswith("draining")
    who = f"uid {os.geteuid()} (process {os.getpid()}) over the socket"
    log = tmp_path / "audit"
    eventually(lambda: who in "".join(file.read_text() for file in log.glob("*.jsonl")))


def test_other_users_cannot_connect(site: Speaker, tmp_path: Path) -> None:
    place = tmp_path / "rsfilter.sock"
    program = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    argv = [sys.executable, "-c", program, "rsfilter.sock"]
    if os.geteuid() == 0:
        argv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *argv]
    else:
        place.chmod(0)
    ended = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "PermissionError: [Errno 13]" in ended.stderr


def test_the_socket_is_removed_at_the_end_and_made_again_after_a_crash(tmp_path: Path) -> None:
    place = tmp_path / "rsfilter.sock"
    with running_site(tmp_path) as speaker:
        eventually(place.exists)
        speaker.process.kill()
        speaker.process.wait()
    assert place.exists()
    with running_site(tmp_path) as speaker:
        eventually(lambda: _answers(place))
        speaker.ends()
    assert not place.exists()


def _answers(place: Path) -> bool:
    with contextlib.suppress(ConnectionRefusedError):
        local_socket.connect(place, 1).close()
        return True
    return False


def test_a_filter_without_a_socket_filters_and_reports_it(tmp_path: Path) -> None:
    """The socket is made once its directory exists."""
    place = tmp_path / "not" / "there" / "rsfilter.sock"

    def warnings(speaker: Speaker) -> list[str]:
        with urlopen(f"http://{speaker.http}/healthz") as answer:
            health = json.load(answer)
        assert health["status"] == "ok"
        return [f"{warning['name']}: {warning['detail']}" for warning in health["warnings"]]

    with running_site(tmp_path, socket=str(place)) as speaker:
        output = f"socket_missing: {place}: No such file or directory"
        eventually(lambda: output in warnings(speaker))
        assert f"commands need --url: {place}" in (tmp_path / "rsfilter.log").read_text()
        place.parent.mkdir(parents=True)
        eventually(place.exists)
        eventually(lambda: output not in warnings(speaker))


def test_who_takes_the_port_first_gets_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as squatter:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = squatter.accept()
                    heard.append(connection.recv(9999))
                    connection.close()

        threading.Thread(target=answer, daemon=True).start()
        listen = f"127.0.0.1:{squatter.getsockname()[1]}"
        with running_site(tmp_path, listen=listen) as speaker:
            eventually((tmp_path / "rsfilter.sock").exists)
            assert main(["guard", "release", "--yes"]) == 0
            os.kill(speaker.process.pid, signal.SIGTERM)
            speaker.process.wait()
            assert main(["guard", "release", "--yes"]) == 1
        squatter.shutdown(socket.SHUT_RDWR)
    assert "no filter answers on" in capsys.readouterr().err
    assert heard == []
