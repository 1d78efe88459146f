"""``python -m anmjax.cli`` is ``anmjax``."""

import sys

from anmjax.cli import main

sys.exit(main())
