"""Modules of Go's proxy whose test data are real files of other projects."""

import json
import os
import subprocess
from pathlib import Path

from tests.support.requirements import find_program, skip_or_fail


def go_module(name: str, version: str) -> Path:
    """Return the folder of a module, which is downloaded on the first use of a machine.

    Without Go, or offline, the test is skipped; with CI=true it fails.
    """
    go = find_program("go", "https://go.dev/doc/install")
    done = subprocess.run(
        [go, "mod", "download", "-json", f"{name}@{version}"],
        env={**os.environ, "GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd="/",
    )
    found = json.loads(done.stdout or "{}")
    if "Dir" not in found:
        skip_or_fail(f"{name}@{version} cannot be downloaded: {found.get('Error') or done.stderr}")
    return Path(found["Dir"])
