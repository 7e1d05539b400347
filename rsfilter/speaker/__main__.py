"""`python -m rsfilter.speaker`: ExaBGP, with what is replaced."""

import sys

from rsfilter.speaker.program import main

sys.exit(main(sys.argv[1:]))
