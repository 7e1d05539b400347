"""The commands: one file for each, with `add(subparsers)` and `run(args) -> int`.

    actions, arguments, hosts              what several commands take; names of hosts
    output, errors                         tables, JSON and exit codes; CommandError
    client, live                           requests to a running filter; its routes of a prefix
    parser, help, examples, completion     argparse with better errors; what people type most
    init, check, render, run, exabgp       from a first configuration to a running filter
    status, neighbors, routes, watch       what a running filter has, and what happens in it
    guard, drain, reload                   what it is requested to do
    explain, impact, replay                why a route is rejected, what would change, what happened
    version                                what is installed
    truth, truth_diff                      truth files, and their differences
    audit, audit_arguments, audit_tables   the audit log
    fleet, fleet_logs                      many route servers: their logs,
    fleet_view, fleet_database                 their differences, and the way to their database

Results go to stdout, errors and notes to stderr. A command raises CommandError or an error of what
it reads; `cli` catches it, and `errors` gives it its text and exit code.
"""
