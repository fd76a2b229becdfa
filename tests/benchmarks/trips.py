"""The operations whose calls to the stores are counted: ours here, and those of distribution's storage driver.

distribution tells of each call of its driver in a span, which it can be told to print.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests import images as content
from tests.benchmarks.images import Pushed, Pusher

Act = Callable[[Pusher, Pushed], object]


@dataclass(frozen=True)
class Operation:
    """Something that a client does to a registry that has an image.

    metadata  the calls to the metadata store that it may cost, in order
    storage   those to the blob store, but for signing, which asks nobody
    """

    name: str
    act: Act
    metadata: tuple[str, ...]
    storage: tuple[str, ...] = ()


def _push_layer(push: Pusher, image: Pushed) -> None:
    push.streamed_blob(content.blob(), image.repository)


def _push_manifest(push: Pusher, image: Pushed) -> None:
    push.manifest(image.content, "another", image.repository)


def _asks(method: str, path: Callable[[Pushed], str]) -> Act:
    return lambda push, image: push.ask(method, path(image))


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
