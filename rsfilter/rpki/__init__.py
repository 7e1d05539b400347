"""Pure: validation data. Sets of VRPs, and the file formats they come in.

    vrps                   an immutable set of VRPs that answers RFC 6811
    truth, hosts, slurm    the truth file in each of its forms
    document               JSON read strictly, every problem with its place

Bytes come in; which file they are from is a text for messages.
"""
