"""Operations that are applied to a registry and to its reference model, which must agree."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from lading.jobs import cleanup
from lading.jobs.cleanup import CleanupContext
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.content.referrer_tags import COSIGN_MEDIA_TYPES, referrer_tags_of
from lading.registry.errors import BLOB_REFERENCED, BLOB_UNKNOWN, RegistryError
from lading.registry.pagination import scan_all
from lading.registry.registry import Registry
from lading.registry.rules.effective import LocalRules
from lading.registry.rules.immutable import ImmutableTags
from lading_storage.digests import digest_of
from lading_storage.records.core import Key, Manifest
from lading_storage.records.deleted import DeletedManifest, DeletedTag
from lading_storage.stores import Stores
from tests.model.choices import LAYERS, NAMES, TAGGED, UNTAGGED, chosen, name, pick, tag
from tests.model.reference_model import IMMUTABLE, Image, Refused, Repository, TagEvent, Tombstone
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.invariants import Snapshot, assert_intact, assert_no_garbage
from tests.support.outbox import names_from_records, outbox_of
from tests.support.registry_pushes import push_blob, push_manifest

WAITS = GracePeriods(events=timedelta(days=36_500))


class RegistryMachine(RuleBasedStateMachine):
    """Does the same to both."""

    fresh: ClassVar[Callable[[], Stores]]

    @initialize()
    def begin(self) -> None:
        self.clock = FakeClock()
        self.stores = type(self).fresh()
        rules = LocalRules(ImmutableTags.parse([f"*:{IMMUTABLE}", f"b/c:{IMMUTABLE}"]))
        self.registry = Registry(self.stores.blobs, self.stores.metadata, rules, self.clock)
        self.model = {each: Repository(each, self.clock.time) for each in NAMES}

    def both(self, real: Callable[[], Any], plain: Callable[[], Any]) -> Any:
        """Do it to both: both do it, or both refuse."""
        try:
            expected, refused = plain(), False
        except Refused:
            expected, refused = None, True
        try:
            answer = real()
        except RegistryError as error:
            if refused and error.descriptor.status in (400, 404, 405, 409):
                return None
            raise
        assert not refused, "not refused"
        return answer, expected

    def put(self, repository: str, content: bytes, tag: str) -> None:
        image = Image.of(content)
        for blob in (images.EMPTY_CONFIG, *LAYERS):
            if digest_of(blob) in image.blobs:
                self.ensure_blob(repository, blob)
        tags = [tag] if tag else []
        self.both(
            lambda: push_manifest(self.registry, repository, content, *tags),
            lambda: self.model[repository].push(image, tag),
        )

    def ensure_blob(self, repository: str, blob: bytes) -> None:
        """See that a repository has a blob, as clients do: ask, mount, push."""
        try:
            self.registry.blobs.get(repository, digest_of(blob), for_reuse=True)
        except RegistryError:
            if not self.registry.blobs.mount(repository, digest_of(blob), "", lambda name: True):
                push_blob(self.registry, repository, blob)
        self.model[repository].add_blob(digest_of(blob))

    @rule(name=name, layers=st.sets(st.sampled_from(LAYERS), max_size=2), number=st.integers(0, 1), tag=tag, large=pick)
    def push_an_image(self, name: str, layers: set[bytes], number: int, tag: str, large: int) -> None:
        padding = "x" * 600_000 if large > 95 else ""
        self.put(name, images.manifest(sorted(layers), annotations={"n": f"{number}{padding}"}), tag)

    @rule(name=name, numbers=st.lists(st.integers(0, 4), min_size=2, max_size=3), tag=st.sampled_from(("v1", "v2")))
    def move_a_tag_on(self, name: str, numbers: list[int], tag: str) -> None:
        for number in numbers:
            self.put(name, images.manifest([LAYERS[0]], annotations={"n": str(number)}), tag)
            self.advance_clock(1)

    @rule(name=name, picks=st.lists(pick, min_size=1, max_size=2), tag=tag)
    def push_an_index(self, name: str, picks: list[int], tag: str) -> None:
        model = self.model[name]
        digests = {chosen(each, model.images) for each in picks} & set(model.images)
        self.put(name, images.index([model.images[digest].content for digest in sorted(digests)]), tag)

    @rule(name=name, of=pick, layer=st.sampled_from(LAYERS), cosign=st.booleans(), tag=st.sampled_from(("", "", "v2")))
    def push_a_referrer(self, name: str, of: int, layer: bytes, cosign: bool, tag: str) -> None:
        subject = chosen(of, self.model[name].live)
        described = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject, "size": 1}
        if cosign:
            self.put(name, images.manifest([layer], annotations={"of": subject}), referrer_tags_of(subject)[1 + of % 3])
        else:
            self.put(name, images.manifest([layer], subject=described), tag)

    @precondition(lambda self: any(len(model.live) > 1 for model in self.model.values()))
    @rule(name=name, of=pick, other=pick, suffix=st.integers(0, 3), kind=st.sampled_from(("", ".sig", ".att")))
    def name_a_manifest_as_a_referrer(self, name: str, of: int, other: int, suffix: int, kind: str) -> None:
        """A tag that any caller who may push gives any manifest, a signature of another image among them."""
        model = self.model[name]
        subject, named = chosen(of, model.live), chosen(other, model.live)
        if kind:
            content = images.signature(LAYERS[of % 4], min(COSIGN_MEDIA_TYPES[kind]), annotations={"n": str(of % 3)})
        elif named in model.live:
            content = model.images[named].content
        else:
            return
        self.put(name, content, referrer_tags_of(subject)[suffix])

    @rule(name=name, source=st.sampled_from(("", *NAMES)), layer=st.sampled_from(LAYERS))
    def mount(self, name: str, source: str, layer: bytes) -> None:
        link = self.registry.blobs.mount(name, digest_of(layer), source, lambda name: True)
        if link is not None:
            self.model[name].add_blob(digest_of(layer))
        assert link is None or b"".join(self.registry.blobs.open(link, 0, link.size)) == layer

    @rule(name=name, layer=st.sampled_from(LAYERS))
    def delete_a_layer(self, name: str, layer: bytes) -> None:
        model, digest = self.model[name], digest_of(layer)
        named = any(digest in model.images[each].blobs for each in model.live)
        try:
            self.registry.blobs.delete(name, digest)
        except RegistryError as error:
            if error.descriptor != (BLOB_REFERENCED if named else BLOB_UNKNOWN):
                raise
        else:
            assert not named
            model.delete_blob(digest)

    @precondition(lambda self: any(model.tags for model in self.model.values()))
    @rule(name=name, of=pick)
    def delete_a_tag(self, name: str, of: int) -> None:
        tag = chosen(of, self.model[name].tags, IMMUTABLE)
        self.both(lambda: self.registry.tags.delete(name, tag), lambda: self.model[name].delete_tag(tag))

    @precondition(lambda self: any(model.tags for model in self.model.values()))
    @rule(name=name, of=pick, subject=st.booleans(), again=st.booleans())
    def delete_a_manifest(self, name: str, of: int, subject: bool, again: bool) -> None:
        model = self.model[name]
        subjects = {model.images[digest].subject for digest in model.live} & model.live
        digest = chosen(of, subjects if subject and subjects else model.live)
        self.both(lambda: self.registry.deletion.manifest(name, digest), lambda: model.delete(digest))
        if again:
            self.advance_clock(1)
            self.both(lambda: self.registry.undelete.manifest(name, digest), lambda: model.restore(digest))

    @precondition(lambda self: any(model.live for model in self.model.values()))
    @rule(name=name, of=pick, leads=st.sampled_from(("", "", "v2", "index", "digest")), again=st.booleans())
    def delete_a_child_of_a_superseded_index(self, name: str, of: int, leads: str, again: bool) -> None:
        model = self.model[name]
        digest = chosen(of, model.live)
        if digest not in model.live:
            return
        index = images.index([model.images[digest].content], annotations={"n": str(of % 3)})
        self.put(name, index, "v1")
        if leads:
            tag = "" if leads == "digest" else "v2"
            self.put(name, images.index([index]) if leads == "index" else index, tag)
        self.put(name, images.manifest([LAYERS[0]], annotations={"n": "0"}), "v1")
        self.both(lambda: self.registry.deletion.manifest(name, digest), lambda: model.delete(digest))
        if again:
            self.advance_clock(1)
            self.both(lambda: self.registry.undelete.manifest(name, digest), lambda: model.restore(digest))

    @rule(name=name, of=st.integers(0, 1))
    def delete_a_repository(self, name: str, of: int) -> None:
        if of == 0:
            # A repository is not deleted twice at one moment.
            self.advance_clock(1)
            self.both(lambda: self.registry.deletion.repository(name), self.model[name].delete_all)

    @precondition(lambda self: any(model.tag_tombstones or model.tombstones for model in self.model.values()))
    @rule(name=name, of=pick)
    def restore_a_manifest(self, name: str, of: int) -> None:
        digest = chosen(of, self.model[name].tombstones)
        self.both(lambda: self.registry.undelete.manifest(name, digest), lambda: self.model[name].restore(digest))

    @precondition(lambda self: any(model.tag_tombstones or model.tombstones for model in self.model.values()))
    @rule(name=name, of=pick, force=st.booleans())
    def restore_a_tag(self, name: str, of: int, force: bool) -> None:
        tag = chosen(of, self.model[name].tag_tombstones, IMMUTABLE)
        self.both(
            lambda: self.registry.undelete.tag(name, tag, force=force),
            lambda: self.model[name].restore_tag(tag, force),
        )

    @precondition(lambda self: any(model.tombstones for model in self.model.values()))
    @rule(name=name)
    def restore_a_repository(self, name: str) -> None:
        self.both(lambda: self.registry.undelete.repository(name), self.model[name].restore_all)

    @precondition(lambda self: any(len(rows) > 1 for model in self.model.values() for rows in model.histories.values()))
    @rule(name=name, of=pick, steps=st.integers(1, 2))
    def roll_back(self, name: str, of: int, steps: int) -> None:
        moved = {tag for tag, rows in self.model[name].histories.items() if len(rows) > 1}
        tag = chosen(of, self.model[name].tags.keys() & moved, IMMUTABLE)
        self.both(
            lambda: self.registry.rollback.by_steps(name, tag, steps), lambda: self.model[name].roll_back(tag, steps)
        )

    @precondition(lambda self: any(model.tags for model in self.model.values()))
    @rule(name=name, of=pick, minutes=st.integers(-1, 1))
    def pull_as_of_a_time(self, name: str, of: int, minutes: int) -> None:
        tag = chosen(of, self.model[name].histories, IMMUTABLE)
        moments = [row.moved for row in self.model[name].histories.get(tag, [])] or [self.clock.time]
        moment = moments[of % len(moments)] + timedelta(minutes=minutes)
        done = self.both(
            lambda: self.registry.manifests.find(name, f"{tag}.asof-{moment:%Y%m%dT%H%M%SZ}"),
            lambda: self.model[name].as_of(tag, moment),
        )
        assert done is None or done[0].digest == done[1]

    @rule(minutes=st.sampled_from((61, 25 * 60, 4 * 24 * 60)))
    def time_goes_by(self, minutes: int) -> None:
        self.advance_clock(minutes)

    def advance_clock(self, minutes: int) -> None:
        self.clock.advance(minutes=minutes)
        for model in self.model.values():
            model.now = self.clock.time

    @precondition(lambda self: any(model.live for model in self.model.values()))
    @rule(name=name, of=pick, in_index=st.booleans(), minutes=st.sampled_from((1, 25 * 60)))
    def claim_a_manifest_and_clean_up(self, name: str, of: int, in_index: bool, minutes: int) -> None:
        """What any caller who may push can do: give any manifest a tag that a policy means, or name it in an index."""
        model = self.model[name]
        claimed = chosen(of, model.live)
        if claimed in model.live:
            content = model.images[claimed].content
            self.advance_clock(minutes)
            self.put(name, images.index([content], annotations={"n": str(minutes)}) if in_index else content, "v2")
            self.advance_clock(61)
            self.clean_up_by(name, "v2")

    @rule(name=name, tag=st.sampled_from(("", "v2")))
    def clean_up(self, name: str, tag: str) -> None:
        self.clean_up_by(name, tag)

    def clean_up_by(self, name: str, tag: str) -> None:
        made = cleanup.plan(
            self.registry, name, CleanupContext(parse_policies(TAGGED if tag else UNTAGGED), [], self.clock.time)
        )
        going, tags = set(made.policy_by_digest), [each.tag for each in made.tag_deletions]
        assert going <= self.model[name].live
        assert all(self.model[name].may_be_deleted(digest, going, tag) for digest in going)
        assert tags == ([tag] if self.model[name].is_deleted_alone(tag) else [])
        assert cleanup.apply(self.registry, made).changed == 0
        found = self.stores.metadata.read([Key(DeletedManifest, digest, name) for digest in going])
        causes = {digest: dead.cause for digest in going if (dead := found[Key(DeletedManifest, digest, name)])}
        self.model[name].clean_up(going, causes, tags)

    @rule()
    def collect(self) -> None:
        report = Collector(self.registry, WAITS, clock=self.clock).run()
        assert report is not None
        assert report.finished
        for model in self.model.values():
            model.purge(WAITS.undelete)
            if model.may_be_gone and not self.registry.tags.history(model.name, "", "", 1).items:
                model.erase()

    @invariant()
    def both_list_the_same(self) -> None:
        for each, model in self.model.items():
            tags = self.registry.tags.names(each, "", 1000).items if model.tags else []
            assert sorted(tags) == sorted(model.tags)
            assert {manifest.id for manifest in scan_all(self.stores.metadata, Manifest, each)} == model.live
            for layer in map(digest_of, LAYERS):
                if layer not in model.collectable:
                    assert self._is_visible(each, layer) == (layer in model.visible)
        live = [each for each in sorted(NAMES) if self.model[each].exists and not self.model[each].deleted]
        assert self.registry.repositories("", 9).items == live

    def _is_visible(self, repository: str, blob: str) -> bool:
        try:
            self.registry.blobs.get(repository, blob)
        except RegistryError as error:
            if error.descriptor != BLOB_UNKNOWN:
                raise
            return False
        return True

    def teardown(self) -> None:
        if not hasattr(self, "stores"):
            return
        try:
            self._compare()
            for _ in range(8):
                self.advance_clock(4 * 24 * 60)
                self.collect()
            self._compare()
            assert_no_garbage(Snapshot(self.stores, NAMES))
        finally:
            self.stores.close()

    def _compare(self) -> None:
        """All that there is is what the model says, and whole."""
        found = Snapshot(self.stores, NAMES)
        assert_intact(found)
        for each, model in self.model.items():
            live = {key.id for key in found.manifests if key.repository == each}
            assert live == model.live
            assert {tag.id: tag.digest for tag in found.tags.values() if tag.repository == each} == model.tags
            things = list(self.registry.undelete.tombstones(each))
            manifests = [thing for thing in things if isinstance(thing, DeletedManifest)]
            tags = [thing for thing in things if isinstance(thing, DeletedTag)]
            assert {dead.id: Tombstone(dead.id, dead.deleted, dead.cause) for dead in manifests} == model.tombstones
            assert {dead.id: Tombstone(dead.digest, dead.deleted, dead.cause) for dead in tags} == model.tag_tombstones
            for digest in live:
                manifest = self.registry.manifests.find(each, digest)
                assert self.registry.manifests.content(manifest) == model.images[digest].content
            outbox = outbox_of(self.stores.metadata, each)
            assert {ref: [(row.type, row.action) for row in rows] for ref, rows in outbox.items()} == model.events
            names = {row.name for rows in outbox.values() for row in rows}
            assert set(names_from_records(self.stores.metadata, each)) <= names
            for digest in model.images:
                referrers = {other for other in live if model.images[other].subject == digest}
                listed = self.registry.manifests.referrers(each, digest, "", "").items
                assert {referrer.manifest.id for referrer in listed} == referrers
            for tagged in {key.id for key in found.histories if key.repository == each} | set(model.histories):
                rows = reversed(self.registry.tags.history(each, tagged, "", 1000).items)
                assert [TagEvent(row.action, row.before, row.digest, row.moved) for row in rows] == model.histories.get(
                    tagged, []
                )
