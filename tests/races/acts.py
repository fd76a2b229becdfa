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
from lading_storage.records.core import Upload
from lading_storage.records.deleted import DeletedManifest, DeletedTag
from tests import images
from tests.registry.clocks import TestClock
from tests.registry.pushes import push_blob, push_manifest

NONE: Final = timedelta(0)
AT_ONCE: Final = GracePeriods(NONE, NONE, NONE, NONE)

REPOSITORIES: Final = ("a", "b", "c", "d")

FORGETTING: Final = ("deleted_manifests", "deleted_tags", "deleted_links", "forgotten")

LAYER: Final = b"a layer"
X: Final = digest_of(LAYER)
IMAGE: Final = images.manifest([LAYER])
OTHER: Final = images.manifest([LAYER], annotations={"n": "other"})
INDEX: Final = images.index([IMAGE])
SIGNATURE: Final = images.manifest([], subject=images.descriptor(IMAGE))
LARGE: Final = images.manifest([LAYER], annotations={"n": "x" * 600_000})
SESSION: Final = "5e" * 16


def attaching(content: bytes) -> str:
    """The tag that lets a manifest pass for a signature of another one."""
    return digest_of(content).replace(":", "-") + ".sig"


def collect(registry: Registry, waits: GracePeriods, clock: Clock, names: Collection[str] = ()) -> Mapping[str, int]:
    """Some phases of a collection, or all, beside whoever else collects; answers what was counted."""
    collector = Collector(registry, waits, clock=clock)
    collector._job._deadline = math.inf
    report = collector._job.report
    for phase in collector._phases():
        if phase.name in names or not names:
            collector._job._run_phase(phase, None, lambda report: None)
    assert report.findings == []
    return report.counts


class World:
    """A registry, and a clock, that acts and states are about."""

    def __init__(self, registry: Registry, clock: TestClock) -> None:
        self.registry = registry
        self.clock = clock

    def push(self, repository: str, content: bytes, *tags: str) -> str:
        return push_manifest(self.registry, repository, content, *tags).digest

    def blob(self, repository: str, content: bytes = LAYER) -> str:
        return push_blob(self.registry, repository, content).id

    def mount(self, repository: str, source: str) -> bool:
        """Whether it was mounted."""
        return self.registry.blobs.mount(repository, X, source, lambda name: True) is not None

    def delete(self, content: bytes, repository: str = "a") -> None:
        self.registry.deletion.manifest(repository, digest_of(content))

    def restore(self, content: bytes) -> None:
        self.registry.undelete.manifest("a", digest_of(content))

    def forget(self) -> None:
        """Forget at once all that could be restored, as `delete --for-good` does."""
        for thing in list(self.registry.undelete.tombstones("a")):
            retry_on_conflict(lambda thing=thing: self._forget(thing))  # type: ignore[misc]

    def _forget(self, thing: DeletedManifest | DeletedTag) -> None:
        current = self.registry.metadata.read([thing.key])[thing.key]
        if current is not None and not self._is_wanted(thing):
            self.registry.undelete.purge(current)

    def _is_wanted(self, thing: DeletedManifest | DeletedTag) -> bool:
        where = {"children": thing.id}
        return bool(self.registry.metadata.find(DeletedManifest, where, repository=thing.repository, limit=1))

    def finish(self) -> None:
        self.registry.uploads.finish("a", SESSION, X, Body([LAYER]))

    def phase(self, *names: str) -> None:
        """Some phases of a collection that waits for nobody, or all of them."""
        collect(self.registry, AT_ONCE, self.clock, names)

    def collect(self) -> None:
        """A whole collection."""
        self.phase()

    def clean_up(self, tags: str) -> None:
        """As if all had been pushed two hours ago."""
        condition = f'{{"tagState": "{tags}", "olderThan": "1h"}}'
        policies = parse_policies(f'[{{"name": "p", "action": {{"type": "Delete"}}, "condition": {condition}}}]')
        clean_up(self.registry, "a", CleanupContext(policies, [], self.clock() + timedelta(hours=2)), apply_plan=True)

    def renew(self, repository: str, *contents: bytes) -> None:
        """Collect, and push what may have gone again: it has another object then. Uploads go on meanwhile."""
        self.phase("links", "condemned", "blobs", "objects")
        for content in contents:
            self.blob(repository, content)


Act = Callable[[World], Any]

ACTS: Final[dict[str, Act]] = {
    "push the layer": lambda world: world.blob("a"),
    "push the layer elsewhere": lambda world: world.blob("b"),
    "finish an upload": World.finish,
    "mount the layer": lambda world: world.mount("a", "b"),
    "mount the layer elsewhere": lambda world: world.mount("b", "a"),
    "mount the layer from anywhere": lambda world: world.mount("c", ""),
    "delete the layer": lambda world: world.registry.blobs.delete("a", X),
    "push the image": lambda world: world.push("a", IMAGE, "v1"),
    "push the image without a tag": lambda world: world.push("a", IMAGE),
    "push another image": lambda world: world.push("a", OTHER, "v1"),
    "push the image elsewhere": lambda world: world.push("b", IMAGE, "v1"),
    "push an index": lambda world: world.push("a", INDEX, "multi"),
    "push the image as a signature of another": lambda world: world.push("a", IMAGE, attaching(OTHER)),
    "push another image as a signature": lambda world: world.push("a", OTHER, attaching(IMAGE)),
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
    "expire sessions": lambda world: world.phase("sessions"),
    "forget for good": World.forget,
    "forget": lambda world: world.phase(*FORGETTING),
    "condemn": lambda world: world.phase("links"),
    "unlink": lambda world: world.phase("condemned"),
    "drop": lambda world: world.phase("blobs"),
    "sweep": lambda world: world.phase("objects"),
    "remove repositories": lambda world: world.phase("repositories"),
    "collect": World.collect,
    "renew": lambda world: world.renew("d", LAYER),
    "renew in place": lambda world: world.renew("a", LAYER, LARGE),
}


ATOMIC: Final = frozenset(
    {
        *("push the layer", "push the layer elsewhere", "mount the layer", "mount the layer elsewhere"),
        *("delete the layer", "push the image", "push the image without a tag", "push another image"),
        *("push the image elsewhere", "push an index", "push a signature", "delete the tag", "delete the image"),
        *("delete another image", "delete the index", "roll back"),
    }
)
"""What is done in one commit."""


def nothing(world: World) -> None:
    """Only the config, so that a manifest lacks but its layer; and an upload that has begun."""
    world.blob("a", images.EMPTY_CONFIG)
    world.blob("b", images.EMPTY_CONFIG)
    # The config is never garbage, so that what the acts are about is the layer alone.
    for repository in ("a", "b"):
        world.push(repository, images.manifest([]), "base")
    session = Upload(id=SESSION, target="a", created=world.clock(), touched=world.clock(), digest=digest_of(b""))
    world.registry.metadata.commit([Create(session)])


def linked(world: World) -> None:
    """The layer is in two repositories, and no manifest names it."""
    nothing(world)
    world.blob("a")
    world.blob("b")


def condemned(world: World) -> None:
    nothing(world)
    world.blob("a")
    world.clock.turn(hours=1)
    world.phase("links")


def unlinked(world: World) -> None:
    """The layer's blob is there, and no link leads to it."""
    condemned(world)
    world.phase("condemned")


def living(world: World) -> None:
    """The tag has named two images, and both live."""
    nothing(world)
    world.blob("a")
    world.push("a", IMAGE, "v1")
    world.clock.turn(minutes=1)
    world.push("a", OTHER, "v1")
    world.push("a", IMAGE, "also")


def composed(world: World) -> None:
    """An index, its image, the image's signature, and an image that is kept as an object."""
    living(world)
    world.push("a", INDEX, "multi")
    world.push("a", SIGNATURE)
    world.push("a", LARGE, "large")


def deleted(world: World) -> None:
    """All of it can be restored."""
    composed(world)
    for content in (INDEX, IMAGE, OTHER, LARGE):
        world.delete(content)


def unnamed(world: World) -> None:
    """It can be restored, although its layer was pushed again and deleted by itself."""
    deleted(world)
    world.blob("a")
    world.registry.blobs.delete("a", X)


def shown(world: World) -> None:
    """The deleted layer was pushed again, and no manifest that names it was."""
    deleted(world)
    world.blob("a")


def forgotten(world: World) -> None:
    """One of two deleted images that share the layer cannot be restored any more."""
    living(world)
    world.delete(IMAGE)
    world.forget()
    world.delete(OTHER)


def half(world: World) -> None:
    """One of two images that share the layer is deleted."""
    living(world)
    world.delete(IMAGE)


def abandoned(world: World) -> None:
    """The repository is deleted."""
    composed(world)
    world.registry.deletion.repository("a")
    world.clock.turn(hours=2)


STATES: Final[dict[str, Act]] = {
    state.__name__: state
    for state in (
        *(nothing, linked, condemned, unlinked, living, composed),
        *(deleted, unnamed, shown, forgotten, half, abandoned),
    )
}
