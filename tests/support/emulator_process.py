"""The command python -m emulators as a process."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[2]

TIME_LIMIT: Final = 180.0
"""Seconds for what it starts and does: on a busy machine, a deployment takes more than one minute."""

INTERRUPTIBLE = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Run Python with a default SIGINT: a shell that runs the tests in the background has let it be ignored. Popen's
preexec_fn would fork, which gRPC's threads in this process do not survive."""


def start(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """`python -m emulators`, as a process."""
    return subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "-m", "emulators", *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return the status, the output and the errors of a process; end it, and all that it started, if it hangs."""
    try:
        output, errors = process.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        process.terminate()
        output, errors = process.communicate()
        raise AssertionError(f"it does not end: {output}\n{errors}") from None
    return process.returncode, output, errors
