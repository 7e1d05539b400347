"""`rsfilter.toml`.

    model            the configuration as values
    schema, types    each table and key; the values that keys take
    reader, build    tables -> values, every error at once with its place
    source           the file of the configuration, and its text
    overlaps, files  addresses given twice; files that cannot be used
    changes          which changes a running filter can take
    passwords        password files of sessions, read by `render` alone
    database         the URL of `[fleet] database`

docs/rsfilter.example.toml explains every key.
"""
