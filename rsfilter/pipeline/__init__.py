"""Pure: everything between what comes in and what goes out.

    pipeline          Pipeline.apply(input, moment) -> Outputs: the machine
    inputs, outputs   values of what comes in, and of what leaves
    lines             ExaBGP's lines as messages
    filter            decoder, engine and egress as one
    data              truth and RTR caches together: the data in force
    recording         an input as a line of text, and back

The same inputs at the same times give the same commands and the same audit.
"""
