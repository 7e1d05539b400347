"""The audit log: a chain of JSON lines, and the ways to read it.

    members, record, chain        an event -> its members, its text, a line with its hash (pure)
    flood                         floods summarised (pure)
    log, writer, files, recovery  a queue, one thread, day files, the start after a crash
    verify                        every line is present, as it was written
    query, index, schema, counts  queries of lines, and of columns of closed files
    indexing                      builds the indexes, and compares them with the log
    scan, many                    lines of one log, and of several
    prune                         removes old files
    sql, stats                    SQL, numbers
    report, templates/            a page for reviewers
    timeline                      counts in equal steps, for plots

docs/audit.md describes the format.
"""
