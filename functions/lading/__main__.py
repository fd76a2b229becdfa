"""`python -m lading`: the `lading` command."""

import sys

from lading.cli import main

if __name__ == "__main__":
    sys.exit(main())
