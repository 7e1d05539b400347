"""Small tools that any room may use.

    text           text made harmless for terminals and logs
    strict_json    JSON objects that repeat a name
    threads        work that may never end
    addresses      host:port
    local_socket   the unix socket of a filter

Imports nothing of rsfilter.
"""
