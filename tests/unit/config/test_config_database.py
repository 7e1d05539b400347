"""The URL of the fleet's database."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsfilter.config.build import parse_config
from rsfilter.config.database import parse_url
from rsfilter.config.model import ConfigError
from rsfilter.config.reader import HintError

GOOD = {
    "postgresql://rs1@db1/rsfilter?sslmode=verify-full": (
        "rs1",
        "rsfilter",
        {"sslmode": "verify-full", "host": "db1", "port": "5432"},
    ),
    "postgres://rs1@db1:5433,[2001:db8::5]:1,10.0.0.1/f?sslmode=verify-full"
    "&target_session_attrs=read-write&sslrootcert=/etc/ca.pem": (
        "rs1",
        "f",
        {
            "sslmode": "verify-full",
            "target_session_attrs": "read-write",
            "sslrootcert": "/etc/ca.pem",
            "host": "db1,2001:db8::5,10.0.0.1",
            "port": "5433,1,5432",
        },
    ),
    "postgresql://rs1@/rsfilter?host=/run/postgresql": (
        "rs1",
        "rsfilter",
        {"host": "/run/postgresql"},
    ),
    "postgresql://rs%201@127.0.0.1/r": ("rs 1", "r", {"host": "127.0.0.1", "port": "5432"}),
    "postgresql://rs1@[::1]/r": ("rs1", "r", {"host": "::1", "port": "5432"}),
}


@pytest.mark.parametrize("text", GOOD)
def test_a_url_is_taken_apart(text: str) -> None:
    url = parse_url(text)
    assert (url.user, url.database, dict(url.parameters)) == GOOD[text]
    assert str(url) == text


BAD = {
    "mysql://rs1@db1/r": "begins with postgresql://",
    "postgresql://rs1:secret@db1/r?sslmode=verify-full": "a password does not belong here",
    "postgresql://rs1@db1/r?sslmode=verify-full&password=secret": "a password does not belong",
    "postgresql://rs1@db1/r?sslmode=verify-full&passfile=/x": "a password does not belong",
    "postgresql://db1/r?sslmode=verify-full": "the role is missing",
    "postgresql://rs1@db1?sslmode=verify-full": "the database is missing",
    "postgresql://rs1@/r": "the host is missing",
    "postgresql://rs1@db1/r": "over a network it needs sslmode=verify-full",
    "postgresql://rs1@db1/r?sslmode=require": "over a network it needs sslmode=verify-full",
    "postgresql://rs1@localhost,db1/r": "over a network it needs sslmode=verify-full",
    "postgresql://rs1@db1/r?sslmode=verify-full&options=-c%20x=y": "options is not used here",
    "postgresql://rs1@db1/r?sslmode=verify-full&sslrootcert=ca.pem": "not an absolute path",
    "postgresql://rs1@db1:x/r?sslmode=verify-full": "db1:x is not a host",
    "postgresql://rs1@db1:0/r?sslmode=verify-full": "db1:0 is not a host",
    "postgresql://rs1@db1,/r?sslmode=verify-full": "is not a host",
    "postgresql://rs1@db1/r?sslmode": "name=value",
    "postgresql://rs1@db1/r\x1b?sslmode=verify-full": "characters",
    "postgresql://rs1@[::1/r": "is not a host, host:port or",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_is_named_and_no_password_repeated(text: str) -> None:
    with pytest.raises(HintError, match=BAD[text]) as caught:
        parse_url(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        '"postgresql://rs1:hunter2@db1/r?sslmode=verify-full"',
        '"mysql://rs1:hunter2@db1/r"',
        '["hunter2"]',
        '{ password = "hunter2" }',
    ],
)
def test_no_error_of_the_configuration_repeats_a_password(value: str) -> None:
    text = f'[fleet]\nname = "a"\ndatabase = {value}\n'
    with pytest.raises(ConfigError) as caught:
        parse_config(text, Path("/etc/rsfilter.toml"))
    found = [problem for problem in caught.value.problems if "fleet.database" in problem]
    assert found
    assert "hunter2" not in str(caught.value)
