"""Files for other programs, made from configuration and truth.

    exabgp    exabgp.conf and exabgp.env
    bird      bird.conf of a fan-out

The same configuration and truth always give the same octets.
"""
