"""Files for other programs, made from configuration and truth.

    exabgp    exabgp.conf and exabgp.env
    bird      bird.conf of a fan-out
    first     a first rsfilter.toml and truth.json, for `rsfilter init`
    protection  TCP MD5 and GTSM of sessions
    template  how templates are loaded
    alice     sections of Alice-LG's alice.conf

The same configuration and truth always give the same octets.
"""
