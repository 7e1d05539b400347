"""Replacements inside ExaBGP's own process: `rsfilter exabgp server exabgp.conf`.

    program, replacement          runs ExaBGP; functions are exchanged if their source is known
    announcing, withdrawing       routes of commands are not copied for each router
    steps, matching, listing      commands: without turns, to neighbors by index; `show adj-rib`
    packing, families, prefixes   IPv6 prefixes share UPDATEs; families and prefixes cost little
    quiet, collector              unlogged messages cost little; Python's collector runs less often
    accepting, hops               many connections in a turn; GTSM on those that a neighbor opens
    reading, generation           a large configuration; when indexes of its peers are out of date
    loop, turns, rules, poller    a peer has a turn when it needs one; else the loop sleeps

Each costs less than ExaBGP's own code, and changes neither the messages to a peer nor the output to
a helper. No file of ExaBGP changes, and nothing of rsfilter is imported here.
"""
