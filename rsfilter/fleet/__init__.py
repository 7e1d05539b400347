"""Many route servers: one audit in a database, copies of it elsewhere, one view of all.

    schema.py      tables and roles of the database, as SQL for its administrator (sql/*.sql)
    block.py       consecutive lines of one log in transit; pure
    reader.py      blocks from an audit directory, up to the part that is safe on disk
    database.py    newest, append, read: the only code for PostgreSQL
    shipper.py     moves blocks from a directory to the database
    worker.py      the process of its own in which `rsfilter run` ships
    supervisor.py  starts that process, and can end it at any time
    messages.py    messages between the filter and that process
    collect.py     writes copies of all logs, octet for octet
    ledger.py      routes reconstructed from a log, and their digests; pure
    tail.py        a running log from its filter's start on
    compare.py     two instances' routes, and the cause of each difference; pure
    sightings.py   absent hosts, and the route servers that see them; pure
    state.py       heartbeats and their content: values
    beat.py        sends heartbeats and compares, in the shipping process
    plan.py        checks many configurations together

Only `[fleet]` and `rsfilter fleet` import this room, and only `database` and its importers need
psycopg (`pip install rsfilter[fleet]`).
"""
