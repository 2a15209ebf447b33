"""`python -m graphattn` is the command line."""

import sys

from graphattn.cli import main

if __name__ == "__main__":
    sys.exit(main())
