"""The commands: one file for each, with `add(subparsers)` and `run(args) -> int`.

    arguments        what several commands take
    actions          the actions of a command as a table
    output           tables, JSON and exit codes
    errors           CommandError, and the one place that prints errors
    client           requests to a running filter
    parser           argparse with better errors
    examples         what people type most, for --help
    hosts            names of hosts in arguments, and what was meant
    live             what the running filter has of a prefix, for explain
    truth_diff       the difference of two truths
    audit_arguments  the arguments of `audit`
    audit_tables     records of the audit log, for people
    fleet_logs       `fleet schema`, `ship`, `resume` and `collect`
    fleet_view       `fleet status` and `diff`
    fleet_database   how commands reach the database of a fleet

Results go to stdout, errors and notes to stderr. A command raises CommandError or an error of what
it reads; `cli` catches it, and `errors` gives it its text and exit code.
"""
