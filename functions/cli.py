"""`python -m functions.cli`, and the command that an editable install of the first release left: for one release.

The packages are `lading` and `lading_storage` now, in functions/ and storage/.
"""

import sys
from pathlib import Path

# An installation of the first release finds this file in the checkout, and the new packages nowhere.
sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("functions", "storage")]

from lading.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
