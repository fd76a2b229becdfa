"""The test inputs of osv-scalibr, Google's library that extracts packages (https://github.com/google/osv-scalibr).

Programs of Go and Rust for three systems, real jars and metadata. What its own tests expect of them is what ours do,
but for differences that are named.
"""

from functools import cache
from pathlib import Path
from typing import Final

from tests.support.go_modules import go_module

SCALIBR: Final = ("github.com/google/osv-scalibr", "v0.5.3")
"""The module and its version."""


def reference_input(path: str) -> bytes:
    """Return a file of `extractor/filesystem/language`; skip the test where the module is not there."""
    return (_module() / "extractor/filesystem/language" / path).read_bytes()


@cache
def _module() -> Path:
    return go_module(*SCALIBR)
