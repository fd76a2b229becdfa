"""Small reads: a manifest by tag and by digest, and whether a blob is there, over 1 connection and over 32."""

from functools import partial

from tests.benchmarks import images
from tests.benchmarks.load import send_requests
from tests.benchmarks.peers import Peer
from tests.benchmarks.workload import Bench, Figures, Workload


def _read(bench: Bench, peer: Peer, method: str, what: str, connections: int) -> Figures:
    image: images.Pushed = peer.once("image", images.image)
    path = {"tag": image.manifest("v1"), "digest": image.manifest(), "blob": image.blob()}[what]
    send_requests(peer, [path], method, connections=connections, seconds=bench.seconds / 4)
    with bench.watching(peer) as used:
        result = send_requests(peer, [path], method, connections=connections, seconds=bench.seconds)
    return {
        "requests/s": result["requests"] / result["seconds"],
        "p50 ms": result["p50"] / 1000,
        "p99 ms": result["p99"] / 1000,
        "CPU µs": used.cpu / result["requests"] * 1e6,
        "memory MiB": used.peak,
    }


def _row(method: str, what: str, connections: int) -> Workload:
    words = {"tag": "a manifest by tag", "digest": "a manifest by digest", "blob": "a blob"}
    name = f"{method.lower()}-{what}-{connections}"
    text = f"{method} {words[what]}, {connections} connection{'s' * (connections > 1)}"
    return Workload(name, text, partial(_read, method=method, what=what, connections=connections))


WORKS = tuple(
    _row(method, what, connections)
    for method, what in (("GET", "tag"), ("HEAD", "tag"), ("GET", "digest"), ("HEAD", "digest"), ("HEAD", "blob"))
    for connections in (1, 32)
)
