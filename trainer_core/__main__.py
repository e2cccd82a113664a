"""`python -m trainer_core`."""

import sys

from trainer_core.cli import main

sys.exit(main())
