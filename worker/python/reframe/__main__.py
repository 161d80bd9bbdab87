"""``python -m reframe``: the command ``reframe``."""

import sys

from reframe._cli import main

sys.exit(main())
