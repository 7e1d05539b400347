"""Files for other programs, made from configuration and truth.

    exabgp    exabgp.conf and exabgp.env
    bird      bird.conf of a fan-out
    first     a first rsfilter.toml and truth.json, for `rsfilter init`
    template  how templates are loaded

The same configuration and truth always give the same octets.
"""
