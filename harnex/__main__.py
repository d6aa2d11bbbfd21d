"""`python -m harnex`."""

import sys

from harnex.cli import main

sys.exit(main())
