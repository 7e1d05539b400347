"""ExaBGP that goes on however often its helper dies; its own limit is five times in 64 seconds.

python patient_exabgp.py [--stock] exabgp server exabgp.conf
"""

from __future__ import annotations

import sys

from exabgp.reactor.api.processes import Processes

from rsfilter.speaker.program import main

if __name__ == "__main__":
    Processes._record_respawn = lambda *_: None
    sys.exit(main(sys.argv[1:]))
