"""``python -m embedlab``."""

import sys

from embedlab.commands.cli import main

sys.exit(main())
