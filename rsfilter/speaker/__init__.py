"""Replacements inside ExaBGP's own process: `rsfilter exabgp server exabgp.conf`.

Each replacement costs less than ExaBGP's own code, and changes neither the messages to a peer nor
the output to a helper. No file of ExaBGP changes: functions are exchanged at start, each only if
its source is known (`replacement`). Nothing of rsfilter is imported here.

    announcing   routes of commands are not copied for each router
    withdrawing  nor are withdraws
    steps        commands need no event loop for each turn
    matching     `neighbor ADDRESS` is found by index, not matched with all peers
    packing      IPv6 prefixes share UPDATEs
    families     address families are found by index, not made again
    prefixes     unicast prefixes are read and printed without detours
    quiet        unlogged messages cost little
    listing      `show adj-rib` walks through a table
    collector    Python's collector of cycles runs less often
    accepting    many connections in a turn, each found by an index
    reading      a neighbor of a configuration is not compared with all others
    hops         GTSM on connections that a neighbor opens
    loop         a peer has a turn when it needs one; the loop sleeps until an event:
                 turns (which, and when), rules (meaning of a peer's state), poller (epoll)
    generation   invalidation of indexes of the peers
    program      runs ExaBGP with them
"""
