"""The load generator, a program in Go, which is built when it is first needed."""

import subprocess
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Final

from tests.support.requirements import find_program

SOURCES: Final = Path(__file__).parent / "load"


@cache
def built() -> str:
    """Its path."""
    path = Path(gettempdir()) / "lading-load"
    go = find_program("go", "https://go.dev, 1.25 or newer")
    subprocess.run([go, "build", "-buildvcs=false", "-o", path, "."], cwd=SOURCES, check=True)
    return str(path)
