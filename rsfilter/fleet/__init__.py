"""Many route servers: one audit in a database, copies of it elsewhere, one view of all.

    schema, sql/, database   the database: tables and roles; the only code for PostgreSQL
    block, reader            consecutive lines of one log in transit (pure), and its source
    shipper, worker          moves them to the database, in a process of its own
    supervisor, messages     starts and ends that process; messages between it and the filter
    collect                  writes copies of all logs, octet for octet
    ledger, tail             routes reconstructed from a log (pure); a running log
    compare, sightings       differences of two instances, absent hosts; pure
    state, beat              heartbeats: their content, and their sender
    plan                     checks many configurations together

Only `[fleet]` and `rsfilter fleet` import this room, and only `database` and its importers need
psycopg (`pip install rsfilter[fleet]`).
"""
