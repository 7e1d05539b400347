"""Files for other programs, made from configuration and truth.

    sessions               hosts to render, and warnings about the others
    exabgp, protection     exabgp.conf and exabgp.env; TCP MD5 and GTSM of sessions
    bird                   bird.conf of a fan-out
    alice                  sections of Alice-LG's alice.conf
    first                  a first rsfilter.toml and truth.json, for `rsfilter init`
    template, templates/   how templates are loaded

The same configuration and truth always give the same octets.
"""
