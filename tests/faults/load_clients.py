"""Clients that push, mount, move and delete, each in repositories of its own, and know what must be there."""

import contextlib
import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from threading import Event
from typing import Protocol

from lading_storage.digests import digest_of
from tests.faults.exact_client import ExactClient, RequestOutcome
from tests.faults.ledger import Ledger
from tests.support import images

SOURCE = "source"
"""The repository that all mount from."""

SIZES = (100, 10_000, 300_000, 2_000_000)
TAGS = [f"t{number}" for number in range(5)]


class Client(Protocol):
    """A client of a registry that can say what must be there."""

    ledger: Ledger
    outcomes: Counter[int]

    def work(self, port: int, stop: Event) -> None:
        """Work until told to stop, or until no answer comes."""
        ...


class Worker:
    """An exact client: each of its requests is sent once, and its answer kept."""

    def __init__(self, number: int, shared: Sequence[bytes], sizes: Sequence[int] = SIZES) -> None:
        """Push layers of these sizes into repositories of this number; `shared` are of `SOURCE`, for all to mount."""
        self.ledger = Ledger()
        self.outcomes: Counter[int] = Counter()
        self._chance = random.Random(number)
        self._shared = shared
        self._sizes = sizes
        self._repository, self._mounts = f"worker-{number}", f"mounts-{number}"
        self._contents: dict[str, bytes] = {}

    def work(self, port: int, stop: Event) -> None:
        """See Client."""
        with contextlib.closing(ExactClient(port)) as client:
            while not stop.is_set() and self.run_random_operation(client):
                pass

    def run_random_operation(self, client: ExactClient) -> bool:
        """Do something, at random; return whether there was an answer."""
        actions = [self._push, self._move, self._mount, self._delete_tag, self._delete_manifest, self._delete_blob]
        return self._chance.choices(actions, [6, 3, 4, 2, 1, 1])[0](client)

    def _push(self, client: ExactClient) -> bool:
        """An image of a layer of its own, and of one that all push."""
        layers = [self._chance.choice(self._shared), self._chance.randbytes(self._chance.choice(self._sizes))]
        for content in (images.EMPTY_CONFIG, *layers):
            told = self._record(client.push_blob(self._repository, content), {201})
            self.ledger.record(f"/v2/{self._repository}/blobs/{digest_of(content)}", digest_of(content), told)
            if told.status != 201:
                return told.status != 0
        manifest = images.manifest(layers)
        self._contents[digest_of(manifest)] = manifest
        return self._put(client, self._chance.choice(TAGS), manifest)

    def _put(self, client: ExactClient, tag: str, manifest: bytes) -> bool:
        digest = digest_of(manifest)
        told = self._record(client.put_manifest(self._repository, tag, manifest), {201})
        for reference in (tag, digest):
            self.ledger.record(self._manifest(reference), digest, told)
        return told.status != 0

    def _move(self, client: ExactClient) -> bool:
        known = [digest for _, digest in self.ledger.required(self._manifest(""))]
        return (
            self._put(client, self._chance.choice(TAGS), self._contents[self._chance.choice(known)]) if known else True
        )

    def _mount(self, client: ExactClient) -> bool:
        digest = digest_of(self._chance.choice(self._shared))
        path = f"/v2/{self._mounts}/blobs/uploads/?mount={digest}&from={SOURCE}"
        told = self._record(client.request("POST", path, b""), {201, 202})
        if told.status != 202:
            self.ledger.record(f"/v2/{self._mounts}/blobs/{digest}", digest, told)
        return told.status != 0

    def _delete_tag(self, client: ExactClient) -> bool:
        path = self._manifest(self._chance.choice(TAGS))
        told = self._record(client.request("DELETE", path), {202, 404})
        self.ledger.record(path, None, told)
        return told.status != 0

    def _delete_manifest(self, client: ExactClient) -> bool:
        known = [path for path, digest in self.ledger.required(self._manifest("")) if path.endswith(digest)]
        if not known:
            return True
        path = self._chance.choice(known)
        told = self._record(client.request("DELETE", path), {202})
        digest = path.rpartition("/")[2]
        self.ledger.record_manifest_deletion(digest, told)
        document = json.loads(self._contents[digest])
        for blob in (document["config"], *document["layers"]):
            self.ledger.record_possible_removal(f"/v2/{self._repository}/blobs/{blob['digest']}")
        return told.status != 0

    def _delete_blob(self, client: ExactClient) -> bool:
        known = [path for path, _ in self.ledger.required(f"/v2/{self._mounts}/blobs/")]
        if not known:
            return True
        path = self._chance.choice(known)
        told = self._record(client.request("DELETE", path), {202})
        self.ledger.record(path, None, told)
        return told.status != 0

    def _manifest(self, reference: str) -> str:
        return f"/v2/{self._repository}/manifests/{reference}"

    def _record(self, outcome: RequestOutcome, good: set[int]) -> RequestOutcome:
        """`outcome`, counted; what is neither good nor unknown is wrong."""
        self.outcomes[outcome.status] += 1
        if not outcome.unknown and outcome.status not in good:
            self.ledger.lost.append(f"{outcome.status} for one of {good}: {outcome.body[:200]!r}")
        return outcome


class Crane:
    """crane, which copies an image from SOURCE: it mounts, and pushes manifest and tag; what it exits with counts."""

    def __init__(self, number: int, crane: str, image: bytes) -> None:
        """Copy the image that SOURCE has as `v1`, whose manifest this is."""
        self.ledger = Ledger()
        self.outcomes: Counter[int] = Counter()
        self._crane, self._digest = crane, digest_of(image)
        self._repository, self._copies = f"crane-{number}", 0

    def work(self, port: int, stop: Event) -> None:
        """See Client."""
        while not stop.is_set():
            self._copies += 1
            place = f"{self._repository}-{self._copies % 7}"
            command = [
                self._crane,
                "copy",
                f"127.0.0.1:{port}/{SOURCE}:v1",
                f"127.0.0.1:{port}/{place}:c{self._copies}",
            ]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                while process.poll() is None and not stop.is_set():
                    time.sleep(0.01)
                process.kill()
            told = RequestOutcome(201 if process.returncode == 0 else 0)
            self.outcomes[told.status] += 1
            for reference in (f"c{self._copies}", self._digest):
                self.ledger.record(f"/v2/{place}/manifests/{reference}", self._digest, told)


def prepare(port: int, layers: int = 4) -> tuple[list[bytes], bytes]:
    """Push an image of some layers as `SOURCE`:v1; return the layers, and the manifest."""
    shared = [images.blob(50_000) for _ in range(layers)]
    manifest = images.manifest(shared)
    with contextlib.closing(ExactClient(port)) as client:
        for content in (images.EMPTY_CONFIG, *shared):
            assert client.push_blob(SOURCE, content).status == 201
        assert client.put_manifest(SOURCE, "v1", manifest).status == 201
    return shared, manifest
