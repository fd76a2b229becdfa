"""Long lists: all of 10,000 tags, page by page where there are pages, and 1,000 referrers."""

import time

from tests.benchmarks import images
from tests.benchmarks.load import send_requests
from tests.benchmarks.peers import REPOSITORY, Peer
from tests.benchmarks.workload import Bench, Figures, UnsupportedWorkload, Workload

TAGS = 10_000
REFERRERS = 1_000
PAGE = 1_000


def _tags(bench: Bench, peer: Peer) -> Figures:
    count = TAGS // bench.scale
    peer.once("tags", lambda peer: images.tags(peer, count))
    pages = ["", *(f"&last=t{number}" for number in sorted(map(str, range(count)))[PAGE - 1 :: PAGE])]
    paths = [f"/v2/{REPOSITORY}/tags/list?n={PAGE}{after}" for after in pages[: max(1, count // PAGE)]]
    return _ask(bench, peer, paths)


def _referrers(bench: Bench, peer: Peer) -> Figures:
    if peer.name != "lading":
        raise UnsupportedWorkload("no referrers API")
    subject = peer.once("referrers", lambda peer: images.referrers(peer, REFERRERS // bench.scale))
    return _ask(bench, peer, [f"/v2/{REPOSITORY}/referrers/{subject}"])


def _ask(bench: Bench, peer: Peer, paths: list[str]) -> Figures:
    began = time.perf_counter()
    with bench.watching(peer) as used:
        send_requests(peer, paths, count=len(paths))
    return {
        "ms": (time.perf_counter() - began) * 1000,
        "CPU ms": used.cpu * 1000,
        "memory MiB": used.peak,
    }


WORKS = (
    Workload("tags", "the names of 10,000 tags, 1,000 a page", _tags),
    Workload("referrers", "the descriptors of 1,000 referrers", _referrers),
)
