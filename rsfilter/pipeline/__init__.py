"""Pure: everything between what comes in and what goes out.

    filter       the machine: decoder, engine and egress as one
    data         truth and RTR caches together: the data in force
    recording    what came in, and when, as lines of a file

The same inputs at the same times give the same commands and the same audit.
"""
