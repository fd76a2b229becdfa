"""What is pushed before anything is measured, over connections that stay open."""

import contextlib
import http.client
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from lading_storage.digests import digest_of
from tests.benchmarks.peers import REPOSITORY, Peer
from tests.support import images

LAYERS: Final = 12
CONCURRENCY: Final = 8


@dataclass(frozen=True)
class Pushed:
    """An image in a registry: its repository, its manifest's bytes, and the digests of its layers."""

    repository: str
    content: bytes
    layers: tuple[str, ...]

    def manifest(self, reference: str = "") -> str:
        """The path of its manifest, by a tag or by digest."""
        return f"/v2/{self.repository}/manifests/{reference or digest_of(self.content)}"

    def blob(self, number: int = 0) -> str:
        """The path of a layer."""
        return f"/v2/{self.repository}/blobs/{self.layers[number]}"


class Pusher:
    """Pushes over one connection."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._connection = http.client.HTTPConnection(peer.address, timeout=120)
        self._headers = dict(line.split(": ", 1) for line in peer.headers())

    def close(self) -> None:
        self._connection.close()

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
        """One request; return the status and the Location."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body, {**self._headers, **named})
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise AssertionError(f"{self._peer.name}: {method} {path}: {answer.status} {content[:300]!r}")
        return answer.status, answer.headers.get("Location", "")

    def blob(self, content: bytes, repository: str = REPOSITORY) -> str:
        """Push a blob; answers its digest."""
        digest = digest_of(content)
        path = self._path(self.request("POST", f"/v2/{repository}/blobs/uploads/"), digest)
        self.request("PUT", path, content, Content_Type="application/octet-stream")
        return digest

    def streamed_blob(self, content: bytes, repository: str = REPOSITORY) -> str:
        """Push a blob as docker does, by POST, one PATCH and PUT; answers its digest."""
        digest = digest_of(content)
        path = self._path(self.request("POST", f"/v2/{repository}/blobs/uploads/"))
        path = self._path(self.request("PATCH", path, content, Content_Type="application/octet-stream"), digest)
        self.request("PUT", path)
        return digest

    def _path(self, answer: tuple[int, str], digest: str = "") -> str:
        """Where an answer says that an upload goes on, and ends with a blob of that digest."""
        path = answer[1].removeprefix(f"http://{self._peer.address}")
        return f"{path}{'&' if '?' in path else '?'}digest={digest}" if digest else path

    def manifest(
        self, content: bytes, reference: str = "", repository: str = REPOSITORY, tags: Sequence[str] = ()
    ) -> str:
        """Push a manifest by a tag, or by its digest and perhaps with tags; return the digest."""
        digest = digest_of(content)
        path = f"/v2/{repository}/manifests/{reference or digest}?{urlencode([('tag', tag) for tag in tags])}"
        self.request("PUT", path, content, Content_Type=json.loads(content)["mediaType"])
        return digest


@contextlib.contextmanager
def pusher(peer: Peer) -> Iterator[Pusher]:
    """A pusher, until the block ends."""
    with contextlib.closing(Pusher(peer)) as one:
        yield one


def image(peer: Peer, layers: int = LAYERS, size: int = 1000, tag: str = "v1") -> Pushed:
    """An image that no other equals."""
    contents = [images.blob(size) for _ in range(layers)]
    with pusher(peer) as push:
        digests = [push.blob(content) for content in (images.EMPTY_CONFIG, *contents)]
        manifest = images.manifest(contents)
        push.manifest(manifest, tag)
        return Pushed(REPOSITORY, manifest, tuple(digests[1:]))


def tags(peer: Peer, count: int) -> None:
    """So many tags of one small image, on top of those that are there."""
    manifest = images.manifest([])
    with pusher(peer) as push:
        push.blob(images.EMPTY_CONFIG)
    run_concurrently(peer, range(count), lambda push, number: push.manifest(manifest, f"t{number}"))


def referrers(peer: Peer, count: int) -> str:
    """So many manifests that refer to one; answers its digest. Lading lists them; distribution has no such list."""
    subject = images.manifest([])
    named = images.descriptor(subject, json.loads(subject)["mediaType"])
    with pusher(peer) as push:
        push.blob(images.EMPTY_CONFIG)
        digest = push.manifest(subject, "subject")
    each = [images.manifest([], subject=named, annotations={"number": str(number)}) for number in range(count)]
    run_concurrently(peer, each, lambda push, manifest: push.manifest(manifest))
    return digest


def run_concurrently(peer: Peer, items: Sequence[Any], work: Any) -> None:
    """Do `work` for each of `items`, some at a time."""

    def some(first: int) -> None:
        with pusher(peer) as push:
            for item in items[first::CONCURRENCY]:
                work(push, item)

    with ThreadPoolExecutor(CONCURRENCY) as pool:
        list(pool.map(some, range(CONCURRENCY)))
