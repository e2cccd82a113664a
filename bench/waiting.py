"""A part that imports what it needs, waits for a line, and measures then: python -m bench.waiting PART [flags].

So that one case's imports go on while another case has the card.
"""

import importlib
import sys


def main() -> int:
    part = importlib.import_module(f"bench.{sys.argv[1]}")
    if not sys.stdin.readline():
        return 1
    code: int = part.main(sys.argv[2:])
    return code


if __name__ == "__main__":
    sys.exit(main())
