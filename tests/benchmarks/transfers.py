"""Blobs: many small ones and a large one going in, and a large one coming out."""

import os
from functools import partial
from typing import Final

from tests.benchmarks import images
from tests.benchmarks.load import push, send_requests
from tests.benchmarks.peers import REPOSITORY, Peer
from tests.benchmarks.workload import MIB, Bench, Figures, ResourceUsage, Workload
from tests.support import images as content

GIB: Final = 1024 * MIB
SMALL: Final = MIB
MANY: Final = 200
LARGE: Final = 512 * MIB


def _upload(bench: Bench, peer: Peer, *, size: int, count: int, connections: int = 1) -> Figures:
    size, count = max(1, size // bench.scale), max(1, count // bench.scale)
    with bench.watching(peer) as used:
        flags = {"size": size, "count": count, "connections": connections}
        result = push(peer, REPOSITORY, **flags)
    _drop_pages(peer)
    return _figures(result, used)


def _drop_pages(peer: Peer) -> None:
    """Give back the memory in which the system keeps what was written.

    A virtual machine may be given memory only as it is touched: that costs the registry that happens to touch it more
    than the whole upload, and the next one nothing.
    """
    if peer.folder is None or not hasattr(os, "posix_fadvise"):
        return
    os.sync()
    for path in peer.folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _download(bench: Bench, peer: Peer, header: str = "", count: int = 1) -> Figures:
    size = LARGE // bench.scale
    path = peer.once("large", lambda peer: _large(peer, size))
    with bench.watching(peer) as used:
        result = send_requests(peer, [path], headers=[header] if header else [], count=max(1, count // bench.scale))
    return _figures(result, used)


def _large(peer: Peer, size: int) -> str:
    with images.pusher(peer) as one:
        return f"/v2/{REPOSITORY}/blobs/{one.blob(content.blob(size))}"


def _figures(result: dict[str, float], used: ResourceUsage) -> Figures:
    return {
        "MB/s": result["bytes"] / result["seconds"] / 1e6,
        "CPU s/GiB": used.cpu / result["bytes"] * GIB,
        "memory MiB": used.peak,
        "above rest MiB": used.risen,
        "p50 ms": result["p50"] / 1000,
    }


RANGE: Final = "Range: bytes=1000000-2048575"

WORKS = (
    Workload(
        "upload-small", "200 blobs of 1 MiB, 4 at a time", partial(_upload, size=SMALL, count=MANY, connections=4)
    ),
    Workload("upload-large", "a blob of 512 MiB", partial(_upload, size=LARGE, count=1)),
    Workload("download-large", "a blob of 512 MiB coming out, twice", partial(_download, count=2)),
    Workload("download-range", "1 MiB from within it, 200 times", partial(_download, header=RANGE, count=MANY)),
)
