"""Verification finds every change, and nothing where there is none."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.audit_samples import (
    DAY,
    NOON,
    all_lines,
    lines_of_file,
    note,
    put_lines,
    sample_log,
    write_log,
)
from support.places import ROOT

from rsfilter.audit import verify as verify_module
from rsfilter.audit.files import list_keys, read_head
from rsfilter.audit.verify import verify

DOCUMENT = ROOT / "docs" / "audit.md"


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sample") / "audit"
    sample_log(directory)
    return directory


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(autouse=True)
def _without_writer(monkeypatch):
    monkeypatch.setattr(verify_module, "WRITER_PATIENCE", (0, 0.0))


def copied(sample: Path, work: Path) -> Path:
    directory = work / "audit"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(sample, directory)
    return directory


def problems(directory: Path) -> list[str]:
    return [str(problem) for problem in verify(directory).problems]


def test_an_untouched_log_is_intact(sample):
    result = verify(sample)
    assert result.is_ok
    assert (result.files, result.records) == (5, 23)
    assert (result.first_seq, result.last_seq) == (1, 23)
    assert result.pruned_before is None
    assert result.has_head
    assert f'"hash":"{result.last_hash}"'.encode() in all_lines(sample)[-1]


def test_the_sample_has_compressed_files_and_one_that_is_not(sample):
    assert [key.name for key in list_keys(sample)] == [
        "audit-2026-11-22.jsonl",
        "audit-2026-11-22.1.jsonl",
        "audit-2026-11-22.2.jsonl",
        "audit-2026-11-23.jsonl",
        "audit-2026-11-24.jsonl",
    ]
    assert len(list(sample.glob("*.gz"))) == 4


def test_a_directory_without_a_log_is_not_intact(tmp_path):
    result = verify(tmp_path)
    assert result.is_ok
    assert (result.files, result.records, result.first_seq, result.last_seq) == (0, 0, None, None)
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "missing")


@settings(max_examples=150)
@given(st.data())
def test_any_changed_octet_of_any_file_is_found(sample, work, data):
    directory = copied(sample, work)
    names = sorted(path.name for path in sample.iterdir() if path.stat().st_size)
    path = directory / data.draw(st.sampled_from(names))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    if not problems(directory):
        # RFC 1952 and 1951 have octets and bits that mean nothing: no record may differ.
        assert path.suffix == ".gz"
        assert all_lines(directory) == all_lines(sample)


@settings(max_examples=100)
@given(st.data())
def test_a_cut_of_any_file_is_found(sample, work, data):
    directory = copied(sample, work)
    path = data.draw(st.sampled_from(sorted(directory.glob("audit-*"))))
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    assert problems(directory)


@settings(max_examples=100)
@given(st.data())
def test_any_line_removed_repeated_or_moved_is_found(sample, work, data):
    directory = copied(sample, work)
    key = data.draw(st.sampled_from(list_keys(directory)))
    lines = lines_of_file(directory, key)
    places = st.integers(0, len(lines) - 1)
    place, other = data.draw(st.lists(places, min_size=2, max_size=2, unique=True))
    match data.draw(st.sampled_from(["remove", "repeat", "swap"])):
        case "remove":
            del lines[place]
        case "repeat":
            lines.insert(other, lines[place])
        case "swap":
            lines[place], lines[other] = lines[other], lines[place]
    put_lines(directory, key, lines)
    assert problems(directory)


@pytest.mark.parametrize("index", range(1, 5))
def test_any_removed_file_but_the_oldest_is_found(sample, work, index):
    directory = copied(sample, work)
    key = list_keys(directory)[index]
    (directory / key.name).unlink(missing_ok=True)
    (directory / key.compressed_name).unlink(missing_ok=True)
    assert problems(directory)


def test_the_oldest_files_may_be_pruned(sample, work):
    directory = copied(sample, work)
    (directory / "audit-2026-11-22.jsonl.gz").unlink()
    (directory / "audit-2026-11-22.1.jsonl.gz").unlink()
    result = verify(directory)
    assert result.is_ok
    assert (result.pruned_before, result.first_seq, result.last_seq) == (11, 11, 23)


def test_an_emptied_oldest_file_is_not_a_pruned_one(sample, work):
    directory = copied(sample, work)
    (directory / "audit-2026-11-22.jsonl.gz").write_bytes(b"")
    assert problems(directory) == ["audit-2026-11-22.1.jsonl:1: records 1 to 5 are missing"]


def test_the_removal_of_all_files_is_found(sample, work):
    directory = copied(sample, work)
    for path in directory.glob("audit-*"):
        path.unlink()
    assert problems(directory) == ["head.json: the records end with 0: 1 to 23 are missing"]


def test_exchanged_files_are_found(sample, work):
    directory = copied(sample, work)
    one, other = "audit-2026-11-22.1.jsonl.gz", "audit-2026-11-22.2.jsonl.gz"
    (directory / one).rename(directory / "aside")
    (directory / other).rename(directory / one)
    (directory / "aside").rename(directory / other)
    assert "audit-2026-11-22.1.jsonl:1: is not the line that this file began with" in problems(
        directory
    )


def changed(old: bytes, new: bytes):
    def change(lines: list[bytes]) -> list[bytes]:
        return [line.replace(old, new) for line in lines]

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (changed(b"third 1", b"THIRD 1"), [":3: was changed: its hash is not that of its content"]),
        (
            lambda lines: lines[1:],
            [":1: is not the line", ":1: follows record 19: records 20 to 20"],
        ),
        (
            lambda lines: [*lines[:2], *lines[3:]],
            [":3: follows record 21: records 22 to 22 are miss"],
        ),
        (
            lambda lines: [lines[0], lines[2], lines[1], lines[3]],
            [
                ":2: follows record 20: records 21 to 21 are missing",
                ":3: record 21 follows record 22: reordered or repeated",
                ":4: follows record 21: records 22 to 22 are missing",
            ],
        ),
        (lambda lines: [*lines[:3], lines[3][:-1]], [":4: the line is cut", "head.json"]),
        (lambda lines: [*lines[:3], b"{}\n", lines[3]], [":4: is not an audit record"]),
        (lambda lines: lines[:3], ["head.json: the records end with 22: 23 to 23 are missing"]),
        (lambda _: [], ["head.json: the records end with 19: 20 to 23 are missing"]),
        (lambda lines: [*lines, b"x" * 200_000], [":5: ", ":6: ", ":7: ", ":8: "]),
    ],
)
def test_damage_is_reported_with_its_place(sample, work, change, expected):
    directory = copied(sample, work)
    key = list_keys(directory)[-1]
    put_lines(directory, key, change(lines_of_file(directory, key)))
    found = problems(directory)
    assert len(found) == len(expected)
    for problem, text in zip(found, expected, strict=True):
        assert problem.startswith((key.name + text, text)), problem


def test_a_history_that_was_written_anew_meets_the_head(tmp_path):
    write_log(tmp_path / "one", (NOON, note("a")))
    write_log(tmp_path / "other", (NOON, note("b")))
    shutil.copy(tmp_path / "one" / "head.json", tmp_path / "other" / "head.json")
    assert problems(tmp_path / "other") == ["head.json: record 2 is not the one that was written"]


def test_a_line_of_another_history_is_found(tmp_path):
    write_log(tmp_path / "one", *((NOON, note(text)) for text in "abcd"))
    write_log(tmp_path / "other", *((NOON, note(text)) for text in "aXcd"))
    key = list_keys(tmp_path / "one")[0]
    lines = lines_of_file(tmp_path / "one", key)
    lines[2] = lines_of_file(tmp_path / "other", key)[2]  # intact, and of the right number
    put_lines(tmp_path / "one", key, lines)
    assert problems(tmp_path / "one") == [
        "audit-2026-11-22.jsonl:4: record 3 before this line is not the one that was written"
    ]


def test_without_a_head_the_end_is_not_known(sample, work):
    directory = copied(sample, work)
    (directory / "head.json").unlink()
    result = verify(directory)
    assert result.is_ok
    assert not result.has_head


def test_the_head_follows_the_log(tmp_path):
    write_log(tmp_path, (NOON, note("a")))
    head = read_head(tmp_path)
    assert head is not None
    assert (head.seq, head.hash) == (2, verify(tmp_path).last_hash)


def test_problems_are_bounded(tmp_path):
    write_log(tmp_path, *((NOON, note(str(i))) for i in range(200)))
    key = list_keys(tmp_path)[0]
    put_lines(tmp_path, key, changed(b'"text":"', b'"text":"x')(lines_of_file(tmp_path, key)))
    assert len(verify(tmp_path).problems) == 100


# The document's own verifiers ---------------------------------------------------------------------


def documented(language: str) -> str:
    (code,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return code


def test_the_verifier_printed_in_the_document_works(sample, work):
    program = [sys.executable, "-c", documented("python")]
    directory = copied(sample, work)
    done = subprocess.run([*program, directory], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"intact up to {verify(sample).last_hash}\n")
    for key in list_keys(directory):
        lines = lines_of_file(directory, key)
        put_lines(directory, key, [lines[0].replace(b"audit-2026", b"audit-2025"), *lines[1:]])
        failed = subprocess.run([*program, directory], capture_output=True, text=True, check=False)
        assert failed.returncode != 0
        put_lines(directory, key, lines)


def test_the_shell_line_printed_in_the_document_works(tmp_path):
    write_log(tmp_path, (NOON + 2 * DAY, note("it's \\ü")))
    command = documented("sh").replace("audit/", f"{tmp_path}/")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    computed, written = done.stdout.split()[0], done.stdout.split()[-1]
    assert computed == written == verify(tmp_path).last_hash
