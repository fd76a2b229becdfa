"""Restore: copy what a backup has and a registry lacks, while the registry serves requests.

    protection       rules, robots, and every other kind that is not in a repository: before the first tag
    each repository  blobs ─▶ manifests ─▶ repository ─▶ history ─▶ tags: all that is visible is complete

A restore never changes existing records. The restore of a tag is an event in its history like any other change, if the
history in the registry is newer than the backup's or ends with a deletion; it removes the tag's tombstone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lading.jobs.backup.batch_restore import BatchRestore
from lading.jobs.backup.folder import database_of, open_data
from lading.jobs.backup.history import restore_history
from lading.jobs.backup.marker import BackupRefused, file_errors, locked, read_marker
from lading.jobs.backup.objects import verified
from lading.jobs.backup.records import BACKED_UP_KINDS, all_exist, get
from lading.jobs.backup.report import BackupReport, Progress, no_progress
from lading.jobs.backup.sessions import ObjectSessions
from lading.registry.change_context import RESTORE, ChangeContext, now
from lading.registry.content.dependencies import (
    dependencies_of,
    hidden_dependencies_of,
    object_of,
    reference_writes,
    required_dependencies_of,
)
from lading.registry.content.large_manifests import drop_tombstone_writes
from lading.registry.pagination import scan_all
from lading.registry.repositories import review_writes, revive_writes
from lading.registry.retry import retry_on_conflict
from lading.registry.rules.effective import NO_LOCAL_RULES, LocalRules
from lading.registry.rules.rule_types import RULE_TYPES
from lading.registry.rules.stored_rules import StoredRules
from lading.registry.tags.tags import Tags
from lading.registry.trust_records import stale_writes, trust_keys
from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.protocols import Create, Delete, MetadataStore, Replace, Touch, object_exists
from lading_storage.query import Query
from lading_storage.records.core import UNVERIFIED, Blob, Key, Link, Manifest, Record, Repository, Tag
from lading_storage.records.deleted import DeletedManifest, DeletedTag, TagEvent, TagHistory
from lading_storage.records.jobs import Identity
from lading_storage.records.robots import Robot
from lading_storage.records.rules import REGISTRY_RULES, NamespaceRules, RegistryRules
from lading_storage.stores import Stores

SPECIAL_KINDS: Final = (RegistryRules, Repository, Blob, Identity, Robot, Link, Manifest, Tag, TagHistory, TagEvent)
"""Kinds that are restored in a special way. Of any other kind, records are created that do not exist."""


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """How tags are restored.

    Attributes:
        change_context: the action and the actor for the history.
        local_rules: rules of this process, beside those of the registry.
    """

    change_context: ChangeContext = RESTORE
    local_rules: LocalRules = NO_LOCAL_RULES


def restore(
    folder: Path,
    target: Stores | Callable[[], Stores],
    options: RestoreOptions = RestoreOptions(),  # frozen, so safe as a default
    progress: Progress = no_progress,
) -> BackupReport:
    """Copy into `target` what the backup in `folder` has and `target` lacks.

    Args:
        folder: the folder of the backup.
        target: the stores of the registry, or a function that opens or creates them; it is called only if there is a
            backup.
        options: how tags are restored.
        progress: called with the report after each batch.

    Raises:
        ObjectNotFound: there is no backup.
        BackupRefused: a backup into the folder is running, or the folder is the registry itself.
    """
    if read_marker(folder) is None:
        return _restore(folder, target, options, progress)
    with file_errors(folder), locked(folder, shared=True):
        return _restore(folder, target, options, progress)


def _restore(
    folder: Path, target: Stores | Callable[[], Stores], options: RestoreOptions, progress: Progress
) -> BackupReport:
    source = open_data(folder)
    try:
        opened = target if isinstance(target, Stores) else target()
        target_file, source_file = database_of(opened.metadata), database_of(source.metadata)
        if target_file is not None and source_file is not None and target_file.samefile(source_file):
            raise BackupRefused(f"{folder} is the registry itself; name the folder of a backup")
        return Restore(source, opened, options, progress).run()
    finally:
        source.close()


class Restore:
    """One restore."""

    def __init__(self, source: Stores, target: Stores, options: RestoreOptions, progress: Progress) -> None:
        """Copy what `source` has and `target` lacks."""
        self._source = source
        self._target = target
        self._metadata: MetadataStore = target.metadata
        self._options = options
        self._rules = StoredRules(target.metadata, options.local_rules)
        self._tags = Tags(target.metadata, self._rules, now)
        self._sessions = ObjectSessions(target.metadata, now)
        self._progress = progress
        self._report = BackupReport()
        self._batches = BatchRestore(source, target, self._sessions, self._tags, self._report)

    def run(self) -> BackupReport:
        """Restore everything; return what was done."""
        self._registry_rules()
        self._robots()
        for kind in BACKED_UP_KINDS:
            if not kind.IN_REPOSITORY and kind not in SPECIAL_KINDS:
                self._records(kind)
        self._announce_rules()
        self._report.rules_skipped = sum(map(self._has_other_rules, self._rule_keys()))
        self._report.begin_phase("repositories", sum(1 for _ in scan_all(self._source.metadata, Repository)))
        for repository in scan_all(self._source.metadata, Repository):
            self._repository(repository)
            self._report.done += 1
            self._progress(self._report)
        self._sessions.close()
        return self._report

    def _registry_rules(self) -> None:
        """Restore the registry's rules, unless the registry has some: a server creates the record with its first start.

        Rules of namespaces are restored like any other record.
        """
        backed_up = get(self._source.metadata, REGISTRY_RULES)

        def attempt() -> None:
            current = get(self._metadata, REGISTRY_RULES)
            if backed_up is not None and current is None:
                self._metadata.commit([Create(backed_up)])
            elif backed_up is not None and current is not None and not current.given and not current.edited:
                self._metadata.commit([Replace(replace(backed_up, version=current.version))])

        retry_on_conflict(attempt)

    def _announce_rules(self) -> None:
        """Give the registry's rules a new version, so that changes in flight read the rules of namespaces too."""
        if get(self._metadata, REGISTRY_RULES) is not None:
            self._metadata.commit([Touch(REGISTRY_RULES)])

    def _rule_keys(self) -> Iterator[Key[Any]]:
        """Yield the keys of all rules in the backup."""
        yield REGISTRY_RULES
        for each in scan_all(self._source.metadata, NamespaceRules):
            yield each.key

    def _has_other_rules(self, key: Key[Any]) -> bool:
        """Return whether the registry keeps rules of its own that differ from those of the backup."""
        own, backed_up = get(self._metadata, key), get(self._source.metadata, key)
        return backed_up is not None and any(each.of(own) != each.of(backed_up) for each in RULE_TYPES)

    def _robots(self) -> None:
        """Restore robots into an empty registry; in a registry in use, they may have been revoked since the backup."""
        in_use = bool(self._metadata.find(Query(Repository, limit=1)))
        for robot in scan_all(self._source.metadata, Robot):
            if not in_use:
                self._create_if_absent(robot)
            elif get(self._metadata, robot.key) is None:
                self._report.robots_skipped += 1

    def _records(self, kind: type[Record], repository: str = "") -> None:
        for listed in scan_all(self._source.metadata, kind, repository):
            record = get(self._source.metadata, listed.key)
            if record is not None:
                self._create_if_absent(record)

    def _repository(self, repository: Repository) -> None:
        """Restore one repository: blobs, then what needs them."""
        name = repository.id
        for _ in self._batches.blobs(name):
            self._progress(self._report)
        for link in scan_all(self._source.metadata, Link, name):
            blob = self._blob(link.id)
            if blob is not None:
                self._link(link, blob)
            self._progress(self._report)
        for _ in self._batches.manifests(name):
            self._progress(self._report)
        # An index is restored after its children; one pass for each level of nesting.
        while sum(self._manifest(each) for each in scan_all(self._source.metadata, Manifest, name)):
            self._progress(self._report)
        # Due for clean-up policies, since its contents change.
        self._report.repositories += self._create_if_absent(replace(repository, review=now(), looked=False))
        retry_on_conflict(lambda: self._relist(repository))
        for kind in BACKED_UP_KINDS:
            if kind.IN_REPOSITORY and kind not in SPECIAL_KINDS:
                self._records(kind, name)
        for _ in self._batches.tags(name):
            self._progress(self._report)
        for history in scan_all(self._source.metadata, TagHistory, name):
            restore_history(self._source.metadata, self._metadata, history)
        for tag in scan_all(self._source.metadata, Tag, name):
            full = get(self._source.metadata, tag.key)
            if full is not None:
                retry_on_conflict(lambda tag=full: self._tag(tag))  # type: ignore[misc]

    def _relist(self, repository: Repository) -> None:
        """Revive a deleted repository that was live at the time of the backup."""
        writes = revive_writes(self._metadata.read([repository.key]), repository.id, now())
        if writes and not repository.deleted:
            self._metadata.commit(writes)

    def _blob(self, digest: str) -> Blob | None:
        """Return the blob in the target; copy it first if the target lacks it or its bytes.

        If the backup lacks the bytes, return the existing record, or None.
        """
        key = Key(Blob, digest)
        existing, blob = get(self._metadata, key), get(self._source.metadata, key)
        is_lost = existing is not None and (
            bool(existing.damaged) or not object_exists(self._target.blobs, existing.object, existing.size)
        )
        if blob is None or (existing is not None and not is_lost):
            return existing
        name = self._sessions.name()
        try:
            chunks = verified(self._source.blobs.open(blob.object, 0, blob.size), digest)
            self._target.blobs.append(name, chunks, blob.size)
        except (ObjectNotFound, Corrupt):
            self._report.damaged.add(digest)
            return existing
        if existing is not None:
            self._target.blobs.replace(existing.object, name)
            retry_on_conflict(lambda: self._clear_damage_mark(key))
        elif not self._create_if_absent(replace(blob, object=name, damaged="", state="")):
            # Another restore, or a push, has created the blob with its own object meanwhile.
            self._target.blobs.delete(name)
        self._report.blobs += 1
        self._report.bytes += blob.size
        self._report.moved += blob.size
        return get(self._metadata, key)

    def _clear_damage_mark(self, key: Key[Blob]) -> None:
        """Clear the damage mark of a blob, and change its version in any case: a scrub may be about to mark it."""
        blob = get(self._metadata, key)
        if blob is not None:
            self._metadata.commit([Replace(replace(blob, damaged=""))])

    def _link(self, link: Link, blob: Blob) -> None:
        """Create a link, unverified, so that collection checks what names it; keep an existing one.

        The blob is written at the version that was read: if it was collected and pushed again, it has another object.
        """

        def attempt() -> None:
            current = get(self._metadata, blob.key)
            if current is not None and not all_exist(self._metadata, [link.key]):
                new = replace(link, object=current.object, state=UNVERIFIED, since=now(), damaged=False)
                self._metadata.commit([Create(new), Replace(replace(current, state=""))])

        retry_on_conflict(attempt)

    def _manifest(self, listed: Manifest) -> bool:
        """Restore a manifest that does not exist, if all that it needs exists; return whether it was restored."""
        if all_exist(self._metadata, [listed.key]) or not all_exist(self._metadata, required_dependencies_of(listed)):
            return False
        manifest = get(self._source.metadata, listed.key)
        done = manifest is not None and retry_on_conflict(lambda: self._put(manifest))
        self._report.manifests += done
        return done

    def _put(self, manifest: Manifest) -> bool:
        dependencies = [*dependencies_of(manifest), *hidden_dependencies_of(manifest)]
        tombstone_key = Key(DeletedManifest, manifest.id, manifest.repository)
        own_keys = [manifest.key, tombstone_key, Key(Repository, manifest.repository)]
        trust = trust_keys(manifest.repository, [manifest])
        found = self._metadata.read([*own_keys, *dependencies, *trust], content=False)
        if found[manifest.key] is not None or any(found[key] is None for key in required_dependencies_of(manifest)):
            return False
        # A manifest that is stored as a blob has another object in the target.
        manifest = replace(manifest, object=object_of(found, manifest), damaged=False)
        tombstone = found[tombstone_key]
        purge = drop_tombstone_writes(self._metadata, tombstone, manifest, now) if tombstone is not None else []
        others = [*review_writes(found, manifest.repository, now()), *stale_writes(found, trust, now())]
        self._metadata.commit([*reference_writes(found, manifest, now()), Create(manifest), *purge, *others])
        return True

    def _tag(self, tag: Tag) -> None:
        """Restore a tag that does not exist, if its manifest exists."""
        keys = [*self._rules.keys(tag.repository), *self._tags.keys(tag.repository, tag.id)]
        manifest_key = Key(Manifest, tag.digest, tag.repository)
        found = self._metadata.read([*dict.fromkeys([*keys, manifest_key, Key(Repository, tag.repository)])])
        live, manifest = found[tag.key], found[manifest_key]
        if live is not None or manifest is None:
            self._report.tags_skipped += live is not None and live.digest != tag.digest
            return
        history, tombstone = (
            found[Key(TagHistory, tag.id, tag.repository)],
            found[Key(DeletedTag, tag.id, tag.repository)],
        )
        last = self._metadata.find(Query(TagEvent, {"tag": tag.id}, repository=tag.repository, limit=1))
        last_digest = (last[0].digest or last[0].before) if last else ""
        rules = self._rules.of(found, tag.repository)
        if last_digest not in ("", tag.digest) and rules.immutable_rule(tag.id):
            self._report.immutable_tags_skipped += 1
            return
        writes: list[Any] = [Touch(manifest_key), *([Delete(tombstone)] if tombstone else [])]
        writes += review_writes(found, tag.repository, now())
        if history is not None and last and last[0].digest == tag.digest:
            # The history ends with this digest already. A concurrent move of the tag changes its version.
            writes += [Create(replace(tag, damaged=manifest.damaged)), Replace(history)]
            writes += stale_writes(found, trust_keys(tag.repository, tags=[tag.id]), now())
        else:
            writes += self._tags.move(
                found, tag.id, replace(manifest, content=tag.content), self._options.change_context
            )
        self._metadata.commit(writes)
        self._report.tags += 1

    def _create_if_absent(self, record: Record) -> bool:
        """Create a record unless its key exists; return whether it was created."""

        def attempt() -> bool:
            if all_exist(self._metadata, [record.key]):
                return False
            self._metadata.commit([Create(record)])
            return True

        return retry_on_conflict(attempt)
