"""`python -m rsfilter`."""

import sys

from rsfilter.cli import main

sys.exit(main())
