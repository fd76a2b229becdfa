"""Holders of leases: names of processes, by which others on the same machine can detect that one has ended."""

import contextlib
import hashlib
import os
import platform
import secrets
from functools import cache
from pathlib import Path


def new_holder() -> str:
    """Return a name for this process as the holder of one lease."""
    return f"{_host_id()}/{os.getpid()}/{_start_time(os.getpid())}/{secrets.token_hex(8)}"


def has_ended(holder: str) -> bool:
    """Return whether a holder was a process of this machine that has ended; False if that is unknown."""
    host_id, _, rest = holder.partition("/")
    pid, _, rest = rest.partition("/")
    start_time, _, _ = rest.partition("/")
    if not host_id or host_id != _host_id() or not pid.isdigit():
        return False
    return _start_time(int(pid)) != start_time


@cache
def _host_id() -> str:
    """Return an id of the scope of process ids: one container, one boot, one machine; "" if unknown."""
    with contextlib.suppress(OSError):
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text()
        scope = f"{boot_id} {Path('/proc/self/ns/pid').readlink()} {platform.node()}"
        return hashlib.sha256(scope.encode()).hexdigest()[:16]
    return ""


def _start_time(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; "" if there is none, or it has ended.

    It distinguishes processes that get the same id one after the other.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The name of the program, in parentheses, can contain spaces.
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended, however long its parent takes to learn of it.
    return "" if fields[0] in "ZX" else fields[19]
