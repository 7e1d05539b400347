"""What is replaced inside ExaBGP's own process: `rsfilter exabgp server exabgp.conf`.

Each replacement costs less than what ExaBGP does, and changes neither what is sent to a peer nor
what is said to a helper. No file of ExaBGP changes: functions are exchanged at start, each only
when its source is known (`replacement`). Nothing of rsfilter is imported here.

    announcing   routes of commands are not copied for each router
    withdrawing  nor are withdraws
    steps        commands need no event loop for each turn
    matching     `neighbor ADDRESS` is looked up, not matched with all peers
    packing      IPv6 prefixes share UPDATEs
    families     address families are looked up, not made again
    prefixes     unicast prefixes are read and printed without detours
    quiet        what is not logged costs little
    listing      `show adj-rib` walks through a table
    collector    Python's collector of cycles runs less often
    accepting    many connections in a turn, each found by an index
    loop         a peer has a turn when it needs one; the loop sleeps until something happens:
                 turns (which, and when), rules (what a peer's state means), poller (epoll)
    generation   when an index of the peers no longer holds
    program      runs ExaBGP with them
"""
