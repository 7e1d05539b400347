"""The commands: one file for each, with `add(subparsers)` and `run(args) -> int`.

    arguments    what several commands take
    output       tables, JSON and exit codes
    client       requests to a running filter

Results go to stdout, errors to stderr; `cli` maps errors to exit codes.
"""
