"""Classic command line: python convert_newbie_to_diffusers.py --checkpoint consolidated.00-of-01.pth --output DIR"""

import sys

from trainer_core.cli.convert import classic

if __name__ == "__main__":
    sys.exit(classic())
