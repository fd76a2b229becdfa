"""The operations whose calls to the stores are counted: ours, and those of distribution's storage driver.

distribution tells of each call of its driver in a span, which it can be told to print. It may keep in memory where
blobs are; here it does not, as it could not in a function.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from lading.composition import open_blobs, open_metadata
from lading_storage.stores import Stores
from tests.benchmarks import images
from tests.benchmarks.images import Pushed, Pusher, pusher
from tests.benchmarks.peers import Peer, traced_distribution
from tests.benchmarks.workload import Bench, Figures, UnsupportedWorkload, Workload
from tests.support import images as content
from tests.support.call_counts import serve_in_process
from tests.support.store_hooks import RecordedBlobs, RecordedMetadata

DRIVER = "registry/storage/driver/"
"""In the name of what writes the spans of the driver's calls."""

Action = Callable[[Pusher, Pushed], object]


@dataclass(frozen=True)
class Operation:
    """Something that a client does to a registry that has an image.

    metadata  the calls to the metadata store that it may cost, in order
    storage   those to the blob store, but for signing, which makes no call
    """

    name: str
    act: Action
    metadata: tuple[str, ...]
    storage: tuple[str, ...] = ()


def _push_layer(push: Pusher, image: Pushed) -> None:
    push.streamed_blob(content.blob(), image.repository)


def _push_manifest(push: Pusher, image: Pushed) -> None:
    push.manifest(image.content, "another", image.repository)


def _asks(method: str, path: Callable[[Pushed], str]) -> Action:
    return lambda push, image: push.request(method, path(image))


OPERATIONS = (
    Operation("HEAD a manifest by tag", _asks("HEAD", lambda image: image.manifest("v1")), ("read",)),
    Operation("GET a manifest by tag", _asks("GET", lambda image: image.manifest("v1")), ("read",)),
    Operation("HEAD a manifest by digest", _asks("HEAD", lambda image: image.manifest()), ("read",)),
    Operation("GET a manifest by digest", _asks("GET", lambda image: image.manifest()), ("read",)),
    Operation("HEAD a blob", _asks("HEAD", lambda image: image.blob()), ("read",)),
    Operation("GET a blob", _asks("GET", lambda image: image.blob()), ("read",)),
    Operation(
        "push a layer: POST, one PATCH, PUT", _push_layer, ("commit", "read", "commit", "read", "commit"), ("append",)
    ),
    Operation("push a manifest with 12 layers", _push_manifest, ("read", "commit")),
)


def _trips(bench: Bench, peer: Peer) -> Figures:
    """How many calls each operation makes, of both stores together."""
    counters = {"lading": _ours, "distribution": _theirs}
    if peer.name not in counters:
        raise UnsupportedWorkload("its calls are not counted")
    with counters[peer.name](Path(mkdtemp(dir=bench.folder))) as (counted, count):
        image = images.image(counted)
        figures: Figures = {}
        with pusher(counted) as push:
            # Once an hour a pull costs a read and a commit more.
            push.request("GET", image.manifest())
            for operation in OPERATIONS:
                before = count()
                operation.act(push, image)
                figures[operation.name] = count() - before
    return figures


@contextlib.contextmanager
def _ours(folder: Path) -> Iterator[tuple[Peer, Callable[[], int]]]:
    blobs = RecordedBlobs(open_blobs((folder / "blobs").as_uri()))
    metadata = RecordedMetadata(open_metadata(f"sqlite://{folder}/metadata"))
    stores = Stores(blobs, metadata)
    with serve_in_process(stores) as address:
        yield Peer("lading", address), lambda: len(metadata.calls) + len(blobs.calls) - blobs.calls.count("signed_url")


@contextlib.contextmanager
def _theirs(folder: Path) -> Iterator[tuple[Peer, Callable[[], int]]]:
    with traced_distribution(folder) as (peer, log):

        def count() -> int:
            # Spans are written some at a time.
            time.sleep(0.5)
            lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
            return sum(DRIVER in line["InstrumentationScope"]["Name"] for line in lines)

        yield peer, count


WORKS = (Workload("trips", "calls to the stores", _trips, once=True),)
