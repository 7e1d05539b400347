"""Password files of sessions: which neighbor has which password, and no password in a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsfilter.config.model import ConfigError
from rsfilter.config.passwords import Passwords, read_passwords
from rsfilter.config.source import MAX_FILE_SIZE
from rsfilter.routing.model import Address

SECRET = "s3cret-of-somebody"
HV1, HV2 = Address.parse("198.51.100.1"), Address.parse("2001:db8::2")


def read(tmp_path: Path, text: str) -> Passwords:
    path = tmp_path / "passwords"
    path.write_text(text)
    return read_passwords(path)


def test_one_password_for_all_and_others_by_name_and_by_address(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "# of the group\nfor-all\n\nhv1 of-hv1\n  2001:DB8:0::2\tof-address  \n198.51.100.9 #9\n",
    )
    assert found.of(HV1) == "for-all"
    assert found.of(HV1, "hv1") == "of-hv1"
    assert found.of(HV2) == "of-address"
    assert found.of(HV2, "hv1") == "of-hv1"  # truth is more specific than an address
    assert found.of(HV1, "hv2") is None  # never another one than truth names
    assert found.of(Address.parse("198.51.100.9")) == "#9"


def test_without_a_password_for_all_a_neighbor_may_have_none(tmp_path: Path) -> None:
    assert read(tmp_path, "hv1 of-hv1\n").of(HV1) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no password"),
        ("# a comment\n", "holds no password"),
        (f"a {SECRET} b\n", ":1: expected PASSWORD, or NAME PASSWORD"),
        (f"\n{SECRET}\n{SECRET}\n", ":3: this neighbor has a password in an earlier line"),
        (f"hv1 {SECRET}\nhv1 {SECRET}\n", ":2: this neighbor has a password in an earlier line"),
        (f"2001:db8::1 {SECRET}\n2001:db8:0::1 x\n", ":2: this neighbor has a password in an"),
        (f'{SECRET}"\n', ":1: a password has 1 to 80 printable ASCII characters"),
        (f"{SECRET}'\n", ":1: a password has 1 to 80 printable ASCII characters"),
        (f"{SECRET}\\\n", ":1: a password has 1 to 80 printable ASCII characters"),
        (f"{SECRET}\x7f\n", ":1: a password has 1 to 80 printable ASCII characters"),
        (f"{SECRET * 5}\n", ":1: a password has 1 to 80 printable ASCII characters"),
        (f"{SECRET};x {SECRET}\n", ":1: a name has at most 64 letters"),
        (f"{SECRET}é\n", ":1: a password has 1 to 80 printable ASCII characters"),
    ],
)
def test_no_problem_repeats_what_may_be_a_password(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert problem in str(caught.value)
    assert SECRET not in str(caught.value)


def test_passwords_are_not_shown_by_accident(tmp_path: Path) -> None:
    assert SECRET not in repr(read(tmp_path, f"{SECRET}\nhv1 {SECRET}\n"))


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(MAX_FILE_SIZE + 1)
    for path, problem in (
        (tmp_path / "missing", "No such file"),
        (tmp_path, "is not a regular file"),
        (large, "larger than"),
    ):
        with pytest.raises(ConfigError, match=problem):
            read_passwords(path)
