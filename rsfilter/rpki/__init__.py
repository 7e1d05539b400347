"""Validation data: sets of VRPs, and the file formats they come in. Pure.

    vrps                   an immutable set of VRPs that answers RFC 6811
    vrp_tables             its tables, and their construction
    truth, hosts, slurm    the truth file in each of its forms
    document               strict JSON; every problem carries its place

Functions take bytes; the file name is used in messages only.
"""
