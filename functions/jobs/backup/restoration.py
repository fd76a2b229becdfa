"""Putting back what a backup has and a registry lacks, while it serves.

    what protects    robots, and every other kind that is in no repository: before the first tag
    each repository  blobs ─▶ manifests ─▶ repository ─▶ history ─▶ tags: what can be seen is whole

A restore changes nothing that is there. A tag that is put back is a move like any other: where its history here goes on
after what the backup knows, or says that it was deleted, that is a row of history, and the tombstone goes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from functions.jobs.backup.folder import database_of, open_data
from functions.jobs.backup.history import restore_history
from functions.jobs.backup.marker import BackupRefused, file_errors, locked, read_marker
from functions.jobs.backup.objects import checked
from functions.jobs.backup.records import IN_BACKUP, get, has
from functions.jobs.backup.restoration_batches import Batches
from functions.jobs.backup.sessions import Sessions
from functions.jobs.backup.stores import Progress, Report, Stores, no_progress
from functions.registry.acts import RESTORE, Act, now
from functions.registry.attempts import settle
from functions.registry.immutable import ImmutableTags
from functions.registry.large_manifests import dropping
from functions.registry.needs import hidden_needs_of, named, needs_of, object_of, required_by
from functions.registry.pages import scan_all
from functions.registry.repositories import alive, changed
from functions.registry.tags import Tags
from storage.errors import Corrupt, Missing
from storage.past import DeletedManifest, DeletedTag, History, Move
from storage.protocols import Create, Delete, MetadataStore, Replace, Touch, is_there
from storage.records import LOOSE, Blob, Key, Link, Manifest, Record, Repository, Robot, Tag
from storage.upkeep import Identity

OWN: Final = (Repository, Blob, Identity, Robot, Link, Manifest, Tag, History, Move)
"""Kinds that are put back in a way of their own; of every other one a record is created where there is none."""


NONE: Final = ImmutableTags()


@dataclass(frozen=True, slots=True)
class Rules:
    """How tags are put back.

    act        what is done, and by whom, for the history
    immutable  which tags name one manifest for ever
    """

    act: Act = RESTORE
    immutable: ImmutableTags = NONE


def restore(
    folder: Path,
    target: Stores | Callable[[], Stores],
    rules: Rules = Rules(),  # it is frozen
    progress: Progress = no_progress,
) -> Report:
    """Put into `target` what the backup in `folder` has and `target` lacks.

    `target` can be a function that opens, or makes, the stores: it is called once there is a backup to restore.
    Raises Missing where there is no backup, and BackupRefused where one is just being written.
    """
    if read_marker(folder) is None:
        return _restore(folder, target, rules, progress)
    with file_errors(folder), locked(folder, shared=True):
        return _restore(folder, target, rules, progress)


def _restore(folder: Path, target: Stores | Callable[[], Stores], rules: Rules, progress: Progress) -> Report:
    source = open_data(folder)
    try:
        opened = target if isinstance(target, Stores) else target()
        own, other = database_of(opened.metadata), database_of(source.metadata)
        if own is not None and other is not None and own.samefile(other):
            raise BackupRefused(f"{folder} is the registry itself; a backup is restored into another one")
        return Restore(source, opened, rules, progress).run()
    finally:
        source.close()


class Restore:
    """One restore."""

    def __init__(self, source: Stores, target: Stores, rules: Rules, progress: Progress) -> None:
        """Put back what `source` has and `target` lacks."""
        self._source = source
        self._target = target
        self._metadata: MetadataStore = target.metadata
        self._rules = rules
        self._tags = Tags(target.metadata, rules.immutable, now)
        self._sessions = Sessions(target.metadata, now)
        self._progress = progress
        self._report = Report()
        self._batches = Batches(source, target, self._sessions, self._tags, self._report)

    def run(self) -> Report:
        """Put everything back."""
        self._robots()
        for kind in IN_BACKUP:
            if not kind.IN_REPOSITORY and kind not in OWN:
                self._records(kind)
        self._report.begin("repositories", sum(1 for _ in scan_all(self._source.metadata, Repository)))
        for repository in scan_all(self._source.metadata, Repository):
            self._repository(repository)
            self._report.done += 1
            self._progress(self._report)
        self._sessions.close()
        return self._report

    def _robots(self) -> None:
        """Put robots back into a registry that has nothing yet. In one in use, some may have been revoked since."""
        in_use = bool(self._metadata.scan(Repository, limit=1))
        for robot in scan_all(self._source.metadata, Robot):
            if not in_use:
                self._ensure(robot)
            elif get(self._metadata, robot.key) is None:
                self._report.robots_left += 1

    def _records(self, kind: type[Record], repository: str = "") -> None:
        for listed in scan_all(self._source.metadata, kind, repository):
            record = get(self._source.metadata, listed.key)
            if record is not None:
                self._ensure(record)

    def _repository(self, repository: Repository) -> None:
        """Put one repository back, from the blobs up."""
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
        # An index comes after its children, however deep they are.
        while sum(self._manifest(each) for each in scan_all(self._source.metadata, Manifest, name)):
            self._progress(self._report)
        # Clean-up is to look at what comes.
        self._report.repositories += self._ensure(replace(repository, review=now(), looked=False))
        settle(lambda: self._list_again(repository))
        for kind in IN_BACKUP:
            if kind.IN_REPOSITORY and kind not in OWN:
                self._records(kind, name)
        for _ in self._batches.tags(name):
            self._progress(self._report)
        for history in scan_all(self._source.metadata, History, name):
            restore_history(self._source.metadata, self._metadata, history)
        for tag in scan_all(self._source.metadata, Tag, name):
            whole = get(self._source.metadata, tag.key)
            if whole is not None:
                settle(lambda tag=whole: self._tag(tag))  # type: ignore[misc]

    def _list_again(self, repository: Repository) -> None:
        """Let a repository that was deleted be listed, as it was when it was backed up."""
        writes = alive(self._metadata.read([repository.key]), repository.id, now())
        if writes and not repository.deleted:
            self._metadata.commit(writes)

    def _blob(self, digest: str) -> Blob | None:
        """Return the blob in the target, copied where that lacks it or its bytes; None where the backup lacks them."""
        key = Key(Blob, digest)
        there, blob = get(self._metadata, key), get(self._source.metadata, key)
        is_lost = there is not None and (
            bool(there.damaged) or not is_there(self._target.blobs, there.object, there.size)
        )
        if blob is None or (there is not None and not is_lost):
            return there
        name = self._sessions.name()
        try:
            chunks = checked(self._source.blobs.open(blob.object, 0, blob.size), digest)
            self._target.blobs.append(name, chunks, blob.size)
        except (Missing, Corrupt):
            self._report.damaged.add(digest)
            return there
        if there is not None:
            self._target.blobs.replace(there.object, name)
            settle(lambda: self._mark_good(key))
        elif not self._ensure(replace(blob, object=name, damaged="", state="")):
            # Another restore, or a push, was faster, and its object counts.
            self._target.blobs.delete(name)
        self._report.blobs += 1
        self._report.bytes += blob.size
        self._report.moved += blob.size
        return get(self._metadata, key)

    def _mark_good(self, key: Key[Blob]) -> None:
        """Take back what scrub found wrong with a blob. A new version in any case: a scrub may be about to mark it."""
        blob = get(self._metadata, key)
        if blob is not None:
            self._metadata.commit([Replace(replace(blob, damaged=""))])

    def _link(self, link: Link, blob: Blob) -> None:
        """Link a blob, unless it is linked: loose, for collection to find what names it.

        The blob is written at the version that was read: collected and pushed again meanwhile, it has another object.
        """

        def attempt() -> None:
            current = get(self._metadata, blob.key)
            if current is not None and not has(self._metadata, [link.key]):
                new = replace(link, object=current.object, state=LOOSE, since=now(), damaged=False)
                self._metadata.commit([Create(new), Replace(replace(current, state=""))])

        settle(attempt)

    def _manifest(self, listed: Manifest) -> bool:
        """Put a manifest back that is not there, where all that it needs is; returns whether it was."""
        if has(self._metadata, [listed.key]) or not has(self._metadata, required_by(listed)):
            return False
        manifest = get(self._source.metadata, listed.key)
        done = manifest is not None and settle(lambda: self._put(manifest))
        self._report.manifests += done
        return done

    def _put(self, manifest: Manifest) -> bool:
        needed = needs_of(manifest)
        dead = Key(DeletedManifest, manifest.id, manifest.repository)
        own_keys = [manifest.key, dead, Key(Repository, manifest.repository)]
        found = self._metadata.read([*own_keys, *needed, *hidden_needs_of(manifest)], content=False)
        if found[manifest.key] is not None or any(found[key] is None for key in required_by(manifest)):
            return False
        # Where it is kept as a blob, that has another object here.
        manifest = replace(manifest, object=object_of(found, manifest), damaged=False)
        tombstone = found[dead]
        forgotten = dropping(self._metadata, tombstone, manifest, now) if tombstone is not None else []
        listed = changed(found, manifest.repository, now())
        self._metadata.commit([*named(found, manifest, now()), Create(manifest), *forgotten, *listed])
        return True

    def _tag(self, tag: Tag) -> None:
        """Put a tag back that is not there, where its manifest is."""
        keys = self._tags.keys(tag.repository, tag.id)
        manifest_key = Key(Manifest, tag.digest, tag.repository)
        found = self._metadata.read([*dict.fromkeys([*keys, manifest_key, Key(Repository, tag.repository)])])
        live, manifest = found[tag.key], found[manifest_key]
        if live is not None or manifest is None:
            self._report.tags_left += live is not None and live.digest != tag.digest
            return
        history, tombstone = found[Key(History, tag.id, tag.repository)], found[Key(DeletedTag, tag.id, tag.repository)]
        last = self._metadata.find(Move, {"tag": tag.id}, repository=tag.repository, limit=1)
        named_last = (last[0].digest or last[0].before) if last else ""
        if named_last not in ("", tag.digest) and self._rules.immutable.rule(tag.repository, tag.id):
            self._report.immutable += 1
            return
        writes: list[Any] = [Touch(manifest_key), *([Delete(tombstone)] if tombstone else [])]
        writes += changed(found, tag.repository, now())
        if history is not None and last and last[0].digest == tag.digest:
            # As the history says already. At its version: whoever moves the tag meanwhile changes it.
            writes += [Create(replace(tag, damaged=manifest.damaged)), Replace(history)]
        else:
            writes += self._tags.move(found, tag.id, replace(manifest, content=tag.content), self._rules.act)
        self._metadata.commit(writes)
        self._report.tags += 1

    def _ensure(self, record: Record) -> bool:
        """Create a record unless one of its key is there; returns whether it did."""

        def attempt() -> bool:
            if has(self._metadata, [record.key]):
                return False
            self._metadata.commit([Create(record)])
            return True

        return settle(attempt)
