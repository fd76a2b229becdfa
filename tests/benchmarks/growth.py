"""How cost grows where there is much: tags, repositories, layers, clients. A pull and a push should cost the same."""

import statistics
import time
from typing import Final

from tests.benchmarks import images
from tests.benchmarks.images import Pusher
from tests.benchmarks.load import send_requests
from tests.benchmarks.peers import REPOSITORY, Peer
from tests.benchmarks.workload import MIB, Bench, Figures, UnsupportedWorkload, Workload
from tests.support import images as content

TAGS: Final = (10, 1_000, 10_000, 100_000)
REPOSITORIES: Final = (1, 100, 1_000, 10_000)
LAYERS: Final = (1, 12, 60, 120)
CLIENTS: Final = (1, 4, 16, 64, 256)

TAGS_AT_ONCE: Final = 50
"""In one push: a way of Lading's own. Python's client takes 100 headers, of which each tag is one."""

PULLS: Final = 300
PUSHES: Final = 30


def _tags(bench: Bench, peer: Peer) -> Figures:
    _only_lading(bench, peer)
    figures: Figures = {}
    manifest, there = content.manifest([]), 0
    for count in (max(1, each // bench.scale) for each in TAGS):
        with images.pusher(peer) as push:
            push.blob(content.EMPTY_CONFIG)
            while there < count:
                names = [f"t{number}" for number in range(there, min(count, there + TAGS_AT_ONCE))]
                push.manifest(manifest, tags=names)
                there += len(names)
        figures |= _measure(peer, f"{count:,} tags", f"t{count // 2}", manifest)
    return figures


def _repositories(bench: Bench, peer: Peer) -> Figures:
    _only_lading(bench, peer)
    figures: Figures = {}
    manifest, there = content.manifest([]), 0
    with images.pusher(peer) as push:
        push.blob(content.EMPTY_CONFIG)
        push.manifest(manifest, "v1")
    config = content.descriptor(content.EMPTY_CONFIG)["digest"]

    def fill(push: Pusher, number: int) -> None:
        push.request("POST", f"/v2/grown/r{number}/blobs/uploads/?mount={config}&from={REPOSITORY}")
        push.manifest(manifest, "v1", f"grown/r{number}")

    for count in (max(1, each // bench.scale) for each in REPOSITORIES):
        images.run_concurrently(peer, range(there, count), fill)
        there = count
        figures |= _measure(peer, f"{count:,} repositories", "v1", manifest)
    return figures


def _layers(bench: Bench, peer: Peer) -> Figures:
    figures: Figures = {}
    for count in LAYERS:
        image = images.image(peer, layers=count, tag=f"l{count}")
        figures |= _measure(peer, f"{count} layers", f"l{count}", image.content)
    return figures


def _clients(bench: Bench, peer: Peer) -> Figures:
    figures: Figures = {}
    image: images.Pushed = peer.once("image", images.image)
    for count in CLIENTS:
        with bench.watching(peer) as used:
            result = send_requests(peer, [image.manifest("v1")], connections=count, seconds=bench.seconds)
        name = f"{count} clients"
        figures |= {
            f"{name}: requests/s": result["requests"] / result["seconds"],
            f"{name}: p50 ms": result["p50"] / 1000,
            f"{name}: p99 ms": result["p99"] / 1000,
            f"{name}: CPU µs": used.cpu / result["requests"] * 1e6,
            f"{name}: memory MiB": used.peak,
        }
    return figures


def _measure(peer: Peer, name: str, tag: str, manifest: bytes) -> Figures:
    """The median of some pulls by tag and of some pushes of a manifest by a tag that is new, and memory then."""
    pulled = send_requests(peer, [f"/v2/{REPOSITORY}/manifests/{tag}"], count=PULLS)
    pushes = []
    with images.pusher(peer) as push:
        for number in range(PUSHES):
            began = time.perf_counter()
            push.manifest(manifest, f"new-{name.replace(' ', '-').replace(',', '')}-{number}")
            pushes.append(time.perf_counter() - began)
    figures = {f"{name}: pull ms": pulled["p50"] / 1000, f"{name}: push ms": statistics.median(pushes) * 1000}
    return figures | ({f"{name}: memory MiB": peer.tree.memory() / MIB} if peer.tree else {})


def _only_lading(bench: Bench, peer: Peer) -> None:
    if peer.name != "lading":
        raise UnsupportedWorkload("to fill it takes too long")
    if bench.access != "everybody":
        raise UnsupportedWorkload("a token is for one repository")


WORKS = (
    Workload("grow-tags", "a repository of 10 to 100,000 tags", _tags, once=True),
    Workload("grow-repositories", "1 to 10,000 repositories", _repositories, once=True),
    Workload("grow-layers", "manifests of 1 to 120 layers", _layers, once=True),
    Workload("grow-clients", "1 to 256 clients that pull a manifest", _clients, once=True),
)
