"""Writers and collectors, each in a process of its own, all at the same few layers, repositories and tags."""

import os
import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from lading import settings
from lading.composition import open_blobs, open_metadata
from lading.registry.change_context import now
from lading.registry.errors import (
    BLOB_REFERENCED,
    BLOB_UNKNOWN,
    MANIFEST_BLOB_UNKNOWN,
    MANIFEST_REFERENCED,
    NOT_DELETED,
    RegistryError,
)
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.errors import ObjectNotFound, Unavailable
from lading_storage.records.core import Manifest, Tag
from lading_storage.stores import Stores
from tests.support import images
from tests.support.interleaving import DelayedCommits
from tests.support.operations import NO_GRACE, collect
from tests.support.registry_pushes import push_blob, push_manifest

REPOSITORIES = ("a", "b")
LAYERS = tuple(f"layer {number}".encode() for number in range(5))
MAX_ATTEMPTS = 1_000
LARGE = 600_000

T = TypeVar("T")


def open_stores(environment: Mapping[str, str]) -> Stores:
    os.environ.update(environment)
    read = settings.load_settings(environment)
    return Stores(open_blobs(read.blobs), open_metadata(read.metadata))


def run_writer(environment: Mapping[str, str], name: str, rounds: int) -> set[tuple[str, str]]:
    """Push, mount and delete at random; return the repository and digest of each manifest that must live then."""
    stores = open_stores(environment)
    writer = RandomWriter(Registry(stores.blobs, DelayedCommits(stores.metadata)), name)
    for _ in range(rounds):
        writer.run_random_operation()
    stores.close()
    return {(repository, digest_of(content)) for repository, content in writer.living}


def collect_until_stopped(environment: Mapping[str, str], stop: Path) -> Counter[str]:
    """Collect again and again, without waiting, and beside other collections; return what was counted."""
    stores = open_stores(environment)
    counts: Counter[str] = Counter()
    while not stop.exists():
        counts.update(collect(Registry(stores.blobs, DelayedCommits(stores.metadata)), NO_GRACE, now))
    stores.close()
    return counts


class RandomWriter:
    """Knows which of its own manifests live: no other worker deletes them, and all name the same layers."""

    def __init__(self, registry: Registry, name: str) -> None:
        self.living: list[tuple[str, bytes]] = []
        self._registry = registry
        self._name = name
        self._count = 0
        self._random = random.Random(name)

    def run_random_operation(self) -> None:
        weights = {self._push: 6, self._index: 1, self._delete: 4, self._mount: 2, self._delete_layer: 2}
        act = self._random.choices([*weights], [*weights.values()])[0]
        act()

    def _push(self) -> None:
        self._count += 1
        size = LARGE if self._random.random() < 0.1 else 1
        layers = [self._random.choice(LAYERS), f"{self._name} {self._random.randrange(3)}".encode()]
        content = images.manifest(layers, annotations={"n": f"{self._name} {self._count}", "x": "x" * size})
        self._put(content, [images.EMPTY_CONFIG, *layers])

    def _index(self) -> None:
        repository = self._random.choice(REPOSITORIES)
        mine = [content for place, content in self.living if place == repository and len(content) < LARGE]
        if mine:
            self._count += 1
            content = images.index(self._random.sample(mine, 1), annotations={"n": f"{self._name} {self._count}"})
            self._put(content, [], repository)

    def _put(self, content: bytes, blobs: list[bytes], repository: str = "") -> None:
        """Push all that a manifest needs, and then itself, until it is acknowledged: no grace lasts so long as that."""
        place = repository or self._random.choice(REPOSITORIES)
        tag = self._random.choice(["v1", "v2", "v3"])

        def put() -> None:
            try:
                push_manifest(self._registry, place, content, tag)
            except RegistryError as refusal:
                missing = {each["digest"] for each in refusal.detail} if isinstance(refusal.detail, list) else set()
                for blob in blobs:
                    if digest_of(blob) in missing:
                        push_blob(self._registry, place, blob)
                raise

        self._retry(put)
        self.living.append((place, content))

    def _delete(self) -> None:
        """Delete one of its manifests, unless one of its indexes keeps it; superseded indexes go with it."""
        if not self.living:
            return
        place, content = self._random.choice(self.living)
        removed: list[Tag | Manifest] = []
        try:
            self._registry.deletion.manifest(place, digest_of(content), on_deleted=removed.append)
        except RegistryError as refusal:
            if refusal.descriptor != MANIFEST_REFERENCED:
                raise
            return
        digests = {thing.id for thing in removed if isinstance(thing, Manifest)}
        deleted = {
            digest_of(each[1]): each for each in self.living if each[0] == place and digest_of(each[1]) in digests
        }
        self.living = [each for each in self.living if each not in deleted.values()]
        if self._random.random() < 0.5:
            self.living += [deleted[each] for each in self._restore(place, digest_of(content))]

    def _restore(self, place: str, digest: str) -> list[str]:
        """Restore one of its manifests, unless collection has forgotten it; return the digests that live again."""
        try:
            return self._registry.undelete.manifest(place, digest)
        except RegistryError as refusal:
            if refusal.descriptor not in (NOT_DELETED, MANIFEST_BLOB_UNKNOWN):
                raise
            return []

    def _mount(self) -> None:
        digest, place = digest_of(self._random.choice(LAYERS)), self._random.choice(REPOSITORIES)
        self._registry.blobs.mount(place, digest, self._random.choice([*REPOSITORIES, ""]), lambda name: True)

    def _delete_layer(self) -> None:
        digest, place = digest_of(self._random.choice(LAYERS)), self._random.choice(REPOSITORIES)
        try:
            self._registry.blobs.delete(place, digest)
        except RegistryError as refusal:
            if refusal.descriptor not in (BLOB_REFERENCED, BLOB_UNKNOWN):
                raise

    def _retry(self, attempt: Callable[[], T]) -> T:
        """Do it until it is acknowledged, as clients do: without a grace, much is collected before it is named."""
        for _ in range(MAX_ATTEMPTS):
            try:
                return attempt()
            except (RegistryError, ObjectNotFound, Unavailable) as error:
                last = error
        raise AssertionError(f"{MAX_ATTEMPTS} tries, and still {last}")
