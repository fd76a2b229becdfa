"""Who holds a lease: a process, of which others on the same machine can tell that it has ended."""

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
    """Return whether a holder was a process of this machine that is there no more; False where nobody can tell."""
    place, _, rest = holder.partition("/")
    pid, _, rest = rest.partition("/")
    started, _, _ = rest.partition("/")
    if not place or place != _host_id() or not pid.isdigit():
        return False
    return _start_time(int(pid)) != started


@cache
def _host_id() -> str:
    """Return a name for where process ids are unique: one container of one boot of one machine; "" if it has none."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        told = f"{boot} {Path('/proc/self/ns/pid').readlink()} {platform.node()}"
        return hashlib.sha256(told.encode()).hexdigest()[:16]
    return ""


def _start_time(pid: int) -> str:
    """Return when a process started, in ticks since boot: an id is used again, but not at the same time; or ""."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The name of the program, in brackets, can hold spaces.
    return stat.rpartition(")")[2].split()[19]
