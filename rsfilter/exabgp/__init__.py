"""Pure: the language of ExaBGP, and the state behind it.

    wire, decode, attributes, nlri, capabilities   one JSON line -> one message
    messages                                       all that a line can mean
    encode                                         changes of a table -> command lines
    router_states                                  what may follow what on a session, as a table
    router, pending, changes, egress, unanswered   what each router has and what is under way to it
    speaker                                        what is replaced in ExaBGP, by its account
    dialect_42, unsupported                        4.2 in recordings; releases that are refused
    resync, conversation, repetition               a restart of rsfilter: ExaBGP's tables, routes of
    inheritance, unsettled                             hosts; what is left of the process before it
    deferral                                       a restart of ExaBGP

What ExaBGP does in truth, and where its lines mislead: docs/architecture.md.
"""
