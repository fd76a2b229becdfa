"""What can be done to one layer, the manifests that name it, and a tag; and the states that it can be done in."""

import math
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any, Final

from lading.jobs.cleanup import CleanupContext, clean_up
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.change_context import Clock
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.content.uploads import Body
from lading.registry.registry import Registry
from lading.registry.retry import retry_on_conflict
from lading_storage.digests import digest_of
from lading_storage.protocols import Create
from lading_storage.query import Query
from lading_storage.records.core import Upload
from lading_storage.records.deleted import DeletedManifest, DeletedTag
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_blob, push_manifest

ZERO: Final = timedelta(0)
NO_GRACE: Final = GracePeriods(ZERO, ZERO, ZERO, ZERO)

REPOSITORIES: Final = ("a", "b", "c", "d")

PURGE_PHASES: Final = ("deleted_manifests", "deleted_tags", "deleted_links", "forgotten")

LAYER: Final = b"a layer"
LAYER_DIGEST: Final = digest_of(LAYER)
IMAGE: Final = images.manifest([LAYER])
OTHER: Final = images.manifest([LAYER], annotations={"n": "other"})
INDEX: Final = images.index([IMAGE])
SIGNATURE: Final = images.manifest([], subject=images.descriptor(IMAGE))
LARGE: Final = images.manifest([LAYER], annotations={"n": "x" * 600_000})
SESSION: Final = "5e" * 16


def signature_tag(content: bytes) -> str:
    """The tag that lets a manifest pass for a signature of another one."""
    return digest_of(content).replace(":", "-") + ".sig"


def collect(registry: Registry, waits: GracePeriods, clock: Clock, phases: Collection[str] = ()) -> Mapping[str, int]:
    """Some phases of a collection, or all, beside other collections; return what was counted."""
    collector = Collector(registry, waits, clock=clock)
    collector._job._deadline = math.inf
    report = collector._job.report
    for phase in collector._phases():
        if phase.name in phases or not phases:
            collector._job._run_phase(phase, None, lambda report: None)
    assert report.findings == []
    return report.counts


class Scenario:
    """A registry, and a clock, that acts and states are about."""

    def __init__(self, registry: Registry, clock: FakeClock) -> None:
        self.registry = registry
        self.clock = clock

    def push(self, repository: str, content: bytes, *tags: str) -> str:
        return push_manifest(self.registry, repository, content, *tags).digest

    def blob(self, repository: str, content: bytes = LAYER) -> str:
        return push_blob(self.registry, repository, content).id

    def mount(self, repository: str, source: str) -> bool:
        """Whether it was mounted."""
        return self.registry.blobs.mount(repository, LAYER_DIGEST, source, lambda name: True) is not None

    def delete(self, content: bytes, repository: str = "a") -> None:
        self.registry.deletion.manifest(repository, digest_of(content))

    def restore(self, content: bytes) -> None:
        self.registry.undelete.manifest("a", digest_of(content))

    def purge(self) -> None:
        """Forget at once all that could be restored, as `delete --for-good` does."""
        for thing in list(self.registry.undelete.tombstones("a")):
            retry_on_conflict(lambda thing=thing: self._purge(thing))  # type: ignore[misc]

    def _purge(self, thing: DeletedManifest | DeletedTag) -> None:
        current = self.registry.metadata.read([thing.key])[thing.key]
        if current is not None and not self._is_needed(thing):
            self.registry.undelete.purge(current)

    def _is_needed(self, thing: DeletedManifest | DeletedTag) -> bool:
        where = {"children": thing.id}
        return bool(self.registry.metadata.find(Query(DeletedManifest, where, repository=thing.repository, limit=1)))

    def finish(self) -> None:
        self.registry.uploads.finish("a", SESSION, LAYER_DIGEST, Body([LAYER]))

    def run_phases(self, *names: str) -> None:
        """Some phases of a collection without grace periods, or all of them."""
        collect(self.registry, NO_GRACE, self.clock, names)

    def collect(self) -> None:
        """A whole collection."""
        self.run_phases()

    def clean_up(self, tags: str) -> None:
        """As if all had been pushed two hours ago."""
        condition = f'{{"tagState": "{tags}", "olderThan": "1h"}}'
        policies = parse_policies(f'[{{"name": "p", "action": {{"type": "Delete"}}, "condition": {condition}}}]')
        clean_up(self.registry, "a", CleanupContext(policies, [], self.clock() + timedelta(hours=2)), apply_plan=True)

    def collect_and_push(self, repository: str, *contents: bytes) -> None:
        """Collect, and push what may have gone again: it has another object then. Uploads go on meanwhile."""
        self.run_phases("links", "condemned", "blobs", "objects")
        for content in contents:
            self.blob(repository, content)


Operation = Callable[[Scenario], Any]

OPERATIONS: Final[dict[str, Operation]] = {
    "push the layer": lambda world: world.blob("a"),
    "push the layer elsewhere": lambda world: world.blob("b"),
    "finish an upload": Scenario.finish,
    "mount the layer": lambda world: world.mount("a", "b"),
    "mount the layer elsewhere": lambda world: world.mount("b", "a"),
    "mount the layer from anywhere": lambda world: world.mount("c", ""),
    "delete the layer": lambda world: world.registry.blobs.delete("a", LAYER_DIGEST),
    "push the image": lambda world: world.push("a", IMAGE, "v1"),
    "push the image without a tag": lambda world: world.push("a", IMAGE),
    "push another image": lambda world: world.push("a", OTHER, "v1"),
    "push the image elsewhere": lambda world: world.push("b", IMAGE, "v1"),
    "push an index": lambda world: world.push("a", INDEX, "multi"),
    "push the image as a signature of another": lambda world: world.push("a", IMAGE, signature_tag(OTHER)),
    "push another image as a signature": lambda world: world.push("a", OTHER, signature_tag(IMAGE)),
    "push a signature": lambda world: world.push("a", SIGNATURE),
    "push a large image": lambda world: world.push("a", LARGE, "large"),
    "delete the tag": lambda world: world.registry.tags.delete("a", "v1"),
    "delete the image": lambda world: world.delete(IMAGE),
    "delete another image": lambda world: world.delete(OTHER),
    "delete the index": lambda world: world.delete(INDEX),
    "delete the large image": lambda world: world.delete(LARGE),
    "delete the repository": lambda world: world.registry.deletion.repository("a"),
    "restore the tag": lambda world: world.registry.undelete.tag("a", "v1"),
    "restore the image": lambda world: world.restore(IMAGE),
    "restore the index": lambda world: world.restore(INDEX),
    "restore the repository": lambda world: world.registry.undelete.repository("a"),
    "roll back": lambda world: world.registry.rollback.to_digest("a", "v1", digest_of(IMAGE)),
    "clean up": lambda world: world.clean_up("ANY"),
    "clean up what has no tag": lambda world: world.clean_up("UNTAGGED"),
    "expire sessions": lambda world: world.run_phases("sessions"),
    "forget for good": Scenario.purge,
    "forget": lambda world: world.run_phases(*PURGE_PHASES),
    "condemn": lambda world: world.run_phases("links"),
    "unlink": lambda world: world.run_phases("condemned"),
    "drop": lambda world: world.run_phases("blobs"),
    "sweep": lambda world: world.run_phases("objects"),
    "remove repositories": lambda world: world.run_phases("repositories"),
    "collect": Scenario.collect,
    "renew": lambda world: world.collect_and_push("d", LAYER),
    "renew in place": lambda world: world.collect_and_push("a", LAYER, LARGE),
}


ATOMIC_OPERATIONS: Final = frozenset(
    {
        *("push the layer", "push the layer elsewhere", "mount the layer", "mount the layer elsewhere"),
        *("delete the layer", "push the image", "push the image without a tag", "push another image"),
        *("push the image elsewhere", "push an index", "push a signature", "delete the tag", "delete the image"),
        *("delete another image", "delete the index", "roll back"),
    }
)
"""What is done in one commit."""


def empty(world: Scenario) -> None:
    """Only the config, so that a manifest lacks but its layer; and an upload that has begun."""
    world.blob("a", images.EMPTY_CONFIG)
    world.blob("b", images.EMPTY_CONFIG)
    # The config is never garbage, so that what the acts are about is the layer alone.
    for repository in ("a", "b"):
        world.push(repository, images.manifest([]), "base")
    session = Upload(id=SESSION, target="a", created=world.clock(), touched=world.clock(), digest=digest_of(b""))
    world.registry.metadata.commit([Create(session)])


def linked(world: Scenario) -> None:
    """The layer is in two repositories, and no manifest names it."""
    empty(world)
    world.blob("a")
    world.blob("b")


def marked(world: Scenario) -> None:
    empty(world)
    world.blob("a")
    world.clock.advance(hours=1)
    world.run_phases("links")


def unlinked(world: Scenario) -> None:
    """The layer's blob is there, and no link leads to it."""
    marked(world)
    world.run_phases("condemned")


def living(world: Scenario) -> None:
    """The tag has named two images, and both live."""
    empty(world)
    world.blob("a")
    world.push("a", IMAGE, "v1")
    world.clock.advance(minutes=1)
    world.push("a", OTHER, "v1")
    world.push("a", IMAGE, "also")


def composed(world: Scenario) -> None:
    """An index, its image, the image's signature, and an image that is kept as an object."""
    living(world)
    world.push("a", INDEX, "multi")
    world.push("a", SIGNATURE)
    world.push("a", LARGE, "large")


def deleted(world: Scenario) -> None:
    """All of it can be restored."""
    composed(world)
    for content in (INDEX, IMAGE, OTHER, LARGE):
        world.delete(content)


def unreferenced(world: Scenario) -> None:
    """It can be restored, although its layer was pushed again and deleted by itself."""
    deleted(world)
    world.blob("a")
    world.registry.blobs.delete("a", LAYER_DIGEST)


def unhidden(world: Scenario) -> None:
    """The deleted layer was pushed again, and no manifest that names it was."""
    deleted(world)
    world.blob("a")


def purged(world: Scenario) -> None:
    """One of two deleted images that share the layer cannot be restored any more."""
    living(world)
    world.delete(IMAGE)
    world.purge()
    world.delete(OTHER)


def half_deleted(world: Scenario) -> None:
    """One of two images that share the layer is deleted."""
    living(world)
    world.delete(IMAGE)


def repository_deleted(world: Scenario) -> None:
    """The repository is deleted."""
    composed(world)
    world.registry.deletion.repository("a")
    world.clock.advance(hours=2)


STATES: Final[dict[str, Operation]] = {
    state.__name__: state
    for state in (
        *(empty, linked, marked, unlinked, living, composed),
        *(deleted, unreferenced, unhidden, purged, half_deleted, repository_deleted),
    )
}
