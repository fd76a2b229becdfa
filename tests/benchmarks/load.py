"""Gives a registry work, by the load generator."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.generator import built
from tests.benchmarks.peers import Peer


class LoadError(Exception):
    """Some of the requests failed, so that the rest says nothing."""


def send_requests(
    peer: Peer, paths: Sequence[str], method: str = "GET", headers: Sequence[str] = (), **flags: Any
) -> Any:
    """Requests of `paths`, in turn, over and over. `flags` are those of the program; its result is answered."""
    return _run(peer, "ask", {"method": method, **flags}, headers, paths)


def push(peer: Peer, repository: str, **flags: Any) -> Any:
    """Uploads of blobs that no other blob equals."""
    return _run(peer, "push", {"repository": repository, **flags}, (), ())


def _run(peer: Peer, what: str, flags: dict[str, Any], headers: Sequence[str], paths: Sequence[str]) -> Any:
    words = [f"-{name}={value}" for name, value in {"address": peer.address, **flags}.items()]
    for line in (*headers, *peer.headers()):
        words += ["-header", line]
    done = subprocess.run([built(), what, *words, *paths], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LoadError(done.stderr)
    result = json.loads(done.stdout)
    if result["failures"]:
        raise LoadError(f"{peer.name}: {result['failures']} of {result['requests']} failed: {result['failure']}")
    return result
