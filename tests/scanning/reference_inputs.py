"""The test inputs of osv-scalibr, Google's library that extracts packages (https://github.com/google/osv-scalibr).

They are in Go's module cache, into which `.ci/run` downloads them: programs of Go and Rust for three systems, real jars
and metadata. What its own tests expect of them is what ours do, but for differences that are named.
"""

import os
from pathlib import Path
from typing import Final

from tests.support.requirements import skip_or_fail

MODULE: Final = "github.com/google/osv-scalibr@v0.5.3"
CACHE: Final = Path(
    os.environ.get("GOMODCACHE") or Path(os.environ.get("GOPATH") or Path.home() / "go") / "pkg" / "mod"
)


def reference_input(path: str) -> bytes:
    """Return a file of `extractor/filesystem/language`; skip the test where the module is not in the cache."""
    folder = CACHE / MODULE
    if not folder.is_dir():
        skip_or_fail(f"needs the module of Go {MODULE}: go mod download {MODULE}")
    return (folder / "extractor/filesystem/language" / path).read_bytes()
