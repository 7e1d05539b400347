"""Many route servers: one audit in a database, copies of it elsewhere, one view of all.

    schema.py      the tables and roles in it, as SQL for its administrator (sql/*.sql)
    block.py       consecutive lines of one log, as they travel; pure
    reader.py      blocks from an audit directory, up to what is safe on the disk
    database.py    newest, append, read: all that knows PostgreSQL
    shipper.py     moves blocks from a directory to the database
    worker.py      the process of its own in which `rsfilter run` ships
    supervisor.py  starts that process, and can be rid of it at any time
    messages.py    what the filter and that process write to each other
    collect.py     writes copies of all logs, octet for octet
    ledger.py      routes as a log tells of them, and their digests; pure
    tail.py        a running log from its filter's start on
    compare.py     two instances' routes, and the cause of each difference; pure
    state.py       heartbeats and what goes with them: values
    beat.py        sends heartbeats and compares, in the shipping process
    plan.py        checks many configurations together

Only `[fleet]` and `rsfilter fleet` import this room, and only `database` and what imports it need
psycopg (`pip install rsfilter[fleet]`).
"""
