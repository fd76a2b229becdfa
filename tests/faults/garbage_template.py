"""A registry with all that collection and scrubbing deal with, made once, and put into any pair of stores.

Day 0, day 2 and the last hours before day 8 leave what collection finds at each of its phases, due and not yet due,
beside what lives and what can be restored.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.content.blob_links import unverify
from lading.registry.content.uploads import Body
from lading.registry.pagination import scan_all
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.local.filesystem import FilesystemBlobs
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.protocols import MAX_CONTENT_SIZE, Create, Replace
from lading_storage.records.core import Key, Record, Upload
from lading_storage.records.deleted import TagEvent
from lading_storage.records.fields import values_of
from lading_storage.records.jobs import Job
from lading_storage.records.kinds import KINDS
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.invariants import Snapshot
from tests.support.registry_pushes import push_blob, push_image, push_manifest

REPOSITORIES: Final = ("a", "gone")

STEPS: Final = frozenset(
    {
        *("sessions expired", "manifests deleted by policy old", "tombstones purged", "repositories removed"),
        *("links kept: named", "links marked", "links removed", "blobs kept: linked", "blobs removed"),
        *("objects removed", "sessions removed"),
    }
)
"""All that collection can do without concurrent changes, as its report tells, by a policy called `old`."""

REPAIRS: Final = frozenset({"links repaired", "objects handed to collection"})

State = Mapping[Key[Any] | str, Any]


@dataclass(frozen=True)
class Template:
    """All records and objects of a registry, and what time it is there."""

    records: list[Record]
    objects: Mapping[str, bytes]
    time: datetime

    def put_into(self, stores: Stores) -> FakeClock:
        """Fill a new pair of stores; answers its clock."""
        for name, content in self.objects.items():
            stores.blobs.append(name, [content], len(content))
        stores.metadata.commit([Create(record) for record in self.records])
        clock = FakeClock()
        clock.time = self.time
        return clock


def make_template(folder: Path, fill: Callable[[Registry, FakeClock], None]) -> Template:
    """What `fill` puts into a new registry, in a new folder."""
    stores, clock = Stores(FilesystemBlobs(folder / "blobs"), SqliteMetadata(folder / "metadata.sqlite")), FakeClock()
    fill(Registry(stores.blobs, stores.metadata, clock=clock), clock)
    kinds = [kind for kind in KINDS if kind is not Job]
    places = [(kind, name) for kind in kinds for name in ("", *REPOSITORIES)]
    keys = [record.key for kind, name in places for record in scan_all(stores.metadata, kind, name)]
    found = stores.metadata.read(keys)
    stores.close()
    objects = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in folder.glob("blobs/*/*/*")}
    return Template([record for key in keys if (record := found[key]) is not None], objects, clock.time)


def add_garbage(registry: Registry, clock: FakeClock) -> None:
    """A registry whose garbage was not collected for long."""
    _on_the_first_day(registry)
    clock.advance(hours=25)
    Collector(registry, GracePeriods(), clock=clock).run()
    clock.advance(days=1)
    _later(registry)
    clock.advance(days=6)
    _on_the_last_day(registry)
    clock.advance(hours=2)


def _on_the_first_day(registry: Registry) -> None:
    """What lives for ever, what policies delete, what is deleted for good by now; and what is condemned tomorrow."""
    shared = images.blob()
    for repository in REPOSITORIES:
        for content in (images.EMPTY_CONFIG, shared):
            push_blob(registry, repository, content)
        lives = push_manifest(registry, repository, images.manifest([shared]), "v1")
    push_image(registry, "a", "pr-1")
    _delete_an_index(registry)
    push_blob(registry, "a", images.blob())
    registry.uploads.append("a", registry.uploads.start("a").id, Body([b"left alone"]))
    registry.deletion.manifest("gone", lives.digest)
    push_image(registry, "gone", "v2")
    registry.deletion.repository("gone")


def _later(registry: Registry) -> None:
    """What is loose for long enough by now, be it named or not, and a session that ends."""
    link = registry.blobs.get("a", push_image(registry, "a", "v3").blobs[1])
    registry.metadata.commit([unverify(link, link.created)])
    push_blob(registry, "a", images.blob())
    registry.uploads.append("a", registry.uploads.start("a").id, Body([b"left alone, too"]))


def _on_the_last_day(registry: Registry) -> None:
    """What can be restored, what is in use, and what a session left that has published."""
    _delete_an_index(registry)
    link = push_blob(registry, "a", images.blob())
    registry.objects.append(f"{link.object.partition('/')[0]}/0-dead", [b"left"])
    registry.uploads.append("a", registry.uploads.start("a").id, Body([b"in use"]))


def _delete_an_index(registry: Registry) -> None:
    """Delete an index with a tag, its image, the image's signature, and a manifest that is an object of its own."""
    image = push_image(registry, "a", layers=1)
    content = image.content or b""
    large = push_manifest(
        registry, "a", images.manifest([], annotations={"n": images.blob(MAX_CONTENT_SIZE // 2).hex()})
    )
    push_manifest(registry, "a", images.manifest([], subject=images.descriptor(content)))
    # Collection forgets what is first in order first, and an index before its children: in one go, where it is first.
    made = (images.index([content], annotations={"n": str(number)}) for number in itertools.count())
    index = push_manifest(registry, "a", next(each for each in made if digest_of(each) < image.digest), "multi")
    for manifest in (index, image, large):
        registry.deletion.manifest("a", manifest.digest)


def add_damage(registry: Registry, _: FakeClock) -> None:
    """All that scrubbing finds, and all that it repairs."""
    push_image(registry, "a", "v1", layers=2)
    other, lacking, astray = (push_image(registry, name, "v1") for name in ("gone", "gone", "a"))
    registry.objects.append(f"{'0' * 32}/0", [b"an object of nobody"])
    link = registry.blobs.get("a", astray.blobs[1])
    registry.metadata.commit([Replace(replace(link, object=f"{'1' * 32}/0"))])
    name = registry.blobs.get("gone", other.blobs[1]).object
    registry.objects.delete(name)
    registry.objects.append(name, [bytes(100)])
    registry.objects.delete(registry.blobs.get("gone", lacking.blobs[1]).object)


def state_of(now: Snapshot) -> State:
    """All records but those of jobs, without times and versions, and the names of all objects."""
    sessions = {each.key: each for each in scan_all(now.stores.metadata, Upload)}
    kinds = (now.blobs, now.repositories, now.links, now.manifests, now.tags, now.histories, now.tag_events, sessions)
    dead = (now.hidden_links, now.deleted_manifests, now.deleted_tags)
    every = [record for kind in (*kinds, *dead) for record in kind.values()]
    state: dict[Key[Any] | str, Any] = {_key(record): _timeless(record) for record in every}
    return state | {"objects": sorted(now.objects)}


def _key(record: Record) -> Key[Any]:
    """Of a record; that of a move holds a time."""
    return (
        Key(TagEvent, f"{record.tag} {record.number}", record.repository)
        if isinstance(record, TagEvent)
        else record.key
    )


def _timeless(record: Record) -> Mapping[str, Any]:
    return {name: value for name, value in values_of(record).items() if not isinstance(value, datetime)}
