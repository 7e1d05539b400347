"""Counts over the records of a file, as one SELECT: rows of (name, value, number).

Counts of files add up, so a closed file is counted once, when it is indexed.
"""

from __future__ import annotations

TABLE = "counted"
"""Table of records that `COUNTING` reads. It needs `COLUMNS`."""

COLUMNS = ('"at"', "event", "neighbor", "host", "prefix", "verdict", "reasons", "truth")

VALUES = {
    "events": ("event", "true"),
    "verdicts": ("verdict", "verdict IS NOT NULL"),
    "reasons": ("unnest(reasons)", "event = 'verdict'"),
    "rejected_neighbors": ("neighbor", "verdict = 'rejected'"),
    "rejected_prefixes": ("prefix", "verdict = 'rejected'"),
    "changed_prefixes": ("prefix", "event IN ('verdict', 'withdraw')"),
    "hosts": ("host", "event = 'verdict'"),
    "revisions": ("truth.revision", "truth IS NOT NULL"),
}
"""Counts by name: the value that is counted, and the condition."""

_HOUR = "strftime(date_trunc('hour', \"at\"), '%Y-%m-%dT%H:%M:%SZ')"

HOURS = {
    "accepted": (_HOUR, "event = 'verdict' AND verdict = 'accepted'"),
    "rejected": (_HOUR, "event = 'verdict' AND verdict = 'rejected'"),
    "held": (_HOUR, "event = 'verdict' AND verdict = 'held'"),
    "gone": (_HOUR, "event = 'withdraw'"),
}
"""The same counts by the hour: the timeline."""

FIRST, LAST, RECORDS = "first", "last", "records"

_TIME = "strftime({which}(\"at\"), '%Y-%m-%dT%H:%M:%S.%fZ')"

_COUNT = (
    "SELECT '{name}', value, count(*) "
    "FROM (SELECT {what} AS value FROM {table} WHERE {where}) GROUP BY value"
)

COUNTING = " UNION ALL ".join(
    (
        f"SELECT '{RECORDS}' AS name, NULL::VARCHAR AS value, count(*) AS number FROM {TABLE}",
        f"SELECT '{FIRST}', {_TIME.format(which='min')}, 0 FROM {TABLE}",
        f"SELECT '{LAST}', {_TIME.format(which='max')}, 0 FROM {TABLE}",
        *(
            _COUNT.format(name=name, what=what, table=TABLE, where=where)
            for name, (what, where) in (VALUES | HOURS).items()
        ),
    )
)
"""One row for each name and value, unordered."""
