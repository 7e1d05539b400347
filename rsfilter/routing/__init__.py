"""Pure: what is right. Values, checks, tables, and the engine that owns them.

    model, groups, reasons         routes and VRPs; groups of neighbors; why a route is rejected
    labels                         reasons as large communities, for a looking glass alone
    bindings, validation           whose session it is; RFC 6811
    policy, judging                every check; how they are run
    adj_rib_in, indexes, table     the routes of hosts with their verdicts
    table_log                      audit events of the table
    export, anycast, adj_rib_out   the routes that each group of routers should have
    events, engine, effects        what can happen, where it goes, what follows
    sessions, departures           neighbors as they were last seen; their routes that go, in slices
    revalidation, slices           other data, through the whole table in slices
    guard, losses, rules           losses that are held, or counted, and whose they are
    impact                         a preview of other data, or of another configuration
    retention, overflow, drain     lost hosts, too many routes, leaving service on purpose
    expected                       hosts and host routes that truth expects and that are absent

Time comes in as `now`; nothing here does I/O, logs, or knows the date.
"""
