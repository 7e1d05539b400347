"""The commands: one file for each, with `add(subparsers)` and `run(args) -> int`.

    arguments    what several commands take
    output       tables, JSON and exit codes
    client       requests to a running filter
    parser       argparse with better errors
    live         what the running filter has of a prefix, for explain
    truth_diff   the difference of two truths

Results go to stdout, errors to stderr; `cli` maps errors to exit codes.
"""
