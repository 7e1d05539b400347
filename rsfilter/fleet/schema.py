"""The database's tables and roles, as SQL that its administrator reads and applies.

`sql/N-*.sql` is what version N adds. The printed SQL brings any older version up to date, and
changes nothing where that is done: it is one transaction, to be given to `psql -v ON_ERROR_STOP=1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import resources

from rsfilter.audit.chain import GENESIS

VERSION = 2
"""Version of the schema that this program needs."""

MAX_CONNECTIONS = 8
"""Connections of one instance at a time: it has two, and those of a crashed one end after a while.
A limit, so that no instance can take all connections of the database."""

INSTANCE, COLLECTOR = "rsfilter_instance", "rsfilter_collector"
"""The groups that roles of instances, and of those who read everything, are in."""

ROLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Names of instances: they become names of directories, too. A role has 63 octets."""

_HEAD = """\
-- rsfilter: schema of the fleet {fleet}, version {version}
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT pg_advisory_xact_lock(hashtext('rsfilter schema'));
DO $do$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{instance}') THEN
    CREATE ROLE {instance} NOLOGIN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{collector}') THEN
    CREATE ROLE {collector} NOLOGIN;
  END IF;
END $do$;
CREATE SCHEMA IF NOT EXISTS rsfilter;
REVOKE ALL ON SCHEMA rsfilter FROM PUBLIC;
GRANT USAGE ON SCHEMA rsfilter TO {instance}, {collector};
CREATE TABLE IF NOT EXISTS rsfilter.fleet (
  is_it boolean PRIMARY KEY DEFAULT true CHECK (is_it),
  name text NOT NULL,
  version integer NOT NULL
);
GRANT SELECT ON rsfilter.fleet TO {instance}, {collector};
INSERT INTO rsfilter.fleet (name, version) VALUES ('{fleet}', 0) ON CONFLICT DO NOTHING;
DO $do$ BEGIN
  IF (SELECT name FROM rsfilter.fleet) <> '{fleet}' THEN
    RAISE EXCEPTION 'this database is of the fleet %', (SELECT name FROM rsfilter.fleet);
  END IF;
END $do$;
"""

_STEP = """
DO $upgrade$ BEGIN
IF (SELECT version FROM rsfilter.fleet) < {version} THEN
EXECUTE $sql$
{sql}
$sql$;
UPDATE rsfilter.fleet SET version = {version};
END IF;
END $upgrade$;
"""

_ROLE = """
-- {what} {name}: give it a password with \\password {name} in psql, or a client certificate
DO $do$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN
    CREATE ROLE "{name}" LOGIN CONNECTION LIMIT {connections};
  END IF;
END $do$;
GRANT {group} TO "{name}";
"""

_BEGIN = """\
INSERT INTO rsfilter.genesis (instance, seq, hash) VALUES ('{name}', {seq}, '{hash}')
  ON CONFLICT DO NOTHING;
"""


def schema_sql(
    fleet: str,
    instances: Iterable[str] = (),
    collectors: Iterable[str] = (),
    *,
    begins_after: tuple[int, str] = (0, GENESIS),
    version: int = VERSION,
) -> str:
    """The SQL that makes the schema or brings it up to date, and adds these roles.

    `begins_after`: number and hash of the record that the logs of `instances` begin after, where
    their oldest files are no longer there. ValueError for a name that no role may have here.
    """
    names = {"fleet": checked(fleet), "instance": INSTANCE, "collector": COLLECTOR}
    parts = [_HEAD.format(version=version, **names)]
    parts += [_STEP.format(version=n, sql=_sql(n)) for n in range(1, version + 1)]
    seq, digest = begins_after
    for name in map(checked, instances):
        parts.append(_role("instance", INSTANCE, name))
        parts.append(_BEGIN.format(name=name, seq=int(seq), hash=checked_hash(digest)))
    parts += [_role("collector", COLLECTOR, name) for name in map(checked, collectors)]
    return "".join([*parts, "COMMIT;\n"])


def checked(name: str) -> str:
    """The name, which is safe in SQL and as the name of a directory. ValueError if it is not."""
    if not ROLE_NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a name: at most 63 letters, digits, dots, dashes and underscores"
        )
    return name


def checked_hash(text: str) -> str:
    """The hash of a record. ValueError if it is none."""
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError(f"{text!r} is not the hash of a record: 64 hexadecimal digits")
    return text


def _role(what: str, group: str, name: str) -> str:
    return _ROLE.format(what=what, group=group, name=name, connections=MAX_CONNECTIONS)


def _sql(version: int) -> str:
    """Return the SQL that a version adds."""
    for file in (resources.files("rsfilter.fleet") / "sql").iterdir():
        if file.name.startswith(f"{version}-"):
            return file.read_text(encoding="utf-8").strip()
    raise LookupError(f"sql/{version}-*.sql")
