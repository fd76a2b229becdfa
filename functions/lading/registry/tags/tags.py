"""Tags: move, delete and list them, and look up what they pointed to at a time.

Every change of a tag is an event in its history (tags.history), and an immutable tag has only one. A deleted tag leaves
a tombstone, from which it can be restored.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from lading.registry import deletion_causes
from lading.registry.change_context import DELETE, ChangeContext, Clock
from lading.registry.commit_gate import CommitGate
from lading.registry.document_changes import documents_deleted
from lading.registry.errors import MANIFEST_UNKNOWN, NAME_UNKNOWN, RegistryError
from lading.registry.names import check_not_reserved
from lading.registry.pagination import Page, find_all
from lading.registry.preconditions import UNCONDITIONAL, Precondition
from lading.registry.repositories import review_writes
from lading.registry.retry import retry_on_conflict
from lading.registry.rules.effective import guarded_once
from lading.registry.rules.stored_rules import StoredRules
from lading.registry.tags import history
from lading.registry.trust_records import stale_writes, trust_keys
from lading_storage.protocols import Create, Delete, Found, MetadataStore, Replace, Touch, Write
from lading_storage.query import Query
from lading_storage.records.core import MAX_TAG_CONTENT, Key, Manifest, Repository, Tag
from lading_storage.records.deleted import DeletedTag, TagEvent, TagHistory
from lading_storage.records.fields import converted

MAX_SCANNED: Final = 2_000
"""Events that one request for the history of live tags scans."""

MIN_EVENTS_PER_READ: Final = 100
MAX_EVENTS_PER_READ: Final = 500
"""Limits of one read of such a scan, however few events the client requests: most may be of deleted tags."""


class Tags:
    """Tags of all repositories.

    gate  decides about moves, and about puts of manifests; None where nothing does
    """

    def __init__(self, metadata: MetadataStore, rules: StoredRules, clock: Clock) -> None:
        """Store tags in `metadata`; `rules` say which ones are immutable."""
        self.rules = rules
        self._metadata = metadata
        self.clock = clock
        self.gate: CommitGate | None = None

    def names(self, repository: str, after: str, limit: int) -> Page[str]:
        """Return the first `limit` tags after `after`, in lexical order (end-8). Raises NAME_UNKNOWN."""
        tags = [tag.id for tag in self._metadata.find(Query(Tag, repository=repository, after=after, limit=limit + 1))]
        if not tags:
            self.require(repository)
        return Page(tags[:limit], tags[limit - 1] if 0 < limit < len(tags) else "")

    def history(self, repository: str, tag: str, after: str, limit: int) -> Page[TagEvent]:
        """Return the first `limit` events after the id `after`, newest first: of one tag, or of all if `tag` is ""."""
        where = {"tag": tag} if tag else {}
        events = self._metadata.find(Query(TagEvent, where, repository=repository, after=after, limit=limit + 1))
        return Page(events[:limit], events[limit - 1].id if 0 < limit < len(events) else "")

    def require(self, repository: str, *, deleted: bool = False) -> None:
        """Raise NAME_UNKNOWN unless a repository exists; with `deleted`, a deleted one counts as well."""
        key = Key(Repository, repository)
        record = self._metadata.read([key])[key]
        if record is None or (record.deleted and not deleted):
            raise RegistryError(NAME_UNKNOWN, {"name": repository})

    def history_of_live_tags(self, repository: str, tag: str, after: str, limit: int) -> Page[TagEvent]:
        """Return the same as `history`, restricted to live tags, which `names` lists.

        It scans at most MAX_SCANNED events. The next page begins after an event that was returned, so that no id
        reveals a deleted tag; if that many events in a row are of deleted tags, the listing ends. Raises NAME_UNKNOWN.
        """
        self.require(repository)
        if tag:
            return self.history(repository, tag, after, limit) if self._live(repository, {tag}) else Page([])
        events: list[TagEvent] = []
        size = max(MIN_EVENTS_PER_READ, min(limit + 1, MAX_EVENTS_PER_READ))
        scanned, more = 0, limit > 0
        while more and len(events) <= limit and scanned < MAX_SCANNED:
            page = self.history(repository, "", after, size)
            live = self._live(repository, {event.tag for event in page.items})
            events += [event for event in page.items if event.tag in live]
            scanned, after, more = scanned + len(page.items), page.next, bool(page.next)
        ends = len(events) <= limit and not more
        return Page(events[:limit], "" if ends or not events[:limit] else events[:limit][-1].id)

    def is_present(self, repository: str, name: str) -> bool:
        """Return whether a tag exists now."""
        return bool(self._live(repository, {name}))

    def _live(self, repository: str, names: Collection[str]) -> set[str]:
        """Return those of some tags that exist now."""
        keys = [Key(Tag, name, repository) for name in names]
        found = self._metadata.read(keys, content=False) if keys else Found({})
        return {key.id for key in keys if found[key] is not None}

    def digest_at(self, repository: str, tag: str, moment: datetime) -> str:
        """Return the digest to which a tag pointed at a time. Raises MANIFEST_UNKNOWN if there was none."""
        event = self._last_event(repository, tag, moment)
        if event is None or not event.digest:
            reason = "the tag was deleted by then" if event else "the history of the tag does not go back that far"
            raise RegistryError(MANIFEST_UNKNOWN, {"tag": tag, "reason": reason})
        return event.digest

    def _last_event(self, repository: str, tag: str, moment: datetime) -> TagEvent | None:
        """Return the last event of a tag up to a time: the one with the highest number."""
        key = Key(TagHistory, tag, repository)
        counter = self._metadata.read([key])[key]
        if counter is not None and counter.clamped:
            events = find_all(self._metadata, TagEvent, {"tag": tag}, repository)
            return next((event for event in events if event.moved <= moment), None)
        after = history.cursor_at(moment)
        last = self._metadata.find(Query(TagEvent, {"tag": tag}, repository=repository, after=after, limit=1))
        return last[0] if last else None

    def delete(
        self, repository: str, name: str, context: ChangeContext = DELETE, condition: Precondition = UNCONDITIONAL
    ) -> str:
        """Delete a tag, and return the digest to which it pointed; the manifest stays (end-9).

        Raises MANIFEST_UNKNOWN, PRECONDITION_FAILED, TAG_RESERVED, TAG_IMMUTABLE.
        """
        check_not_reserved(name)
        return retry_on_conflict(lambda: self._try_to_delete(repository, name, context, condition))

    def keys(self, repository: str, name: str) -> list[Key[Any]]:
        """Return the keys to read before `move` or `drop`, in addition to those of `rules`."""
        own = [Key(Tag, name, repository), *history.history_keys(repository, name), Key(DeletedTag, name, repository)]
        return [*own, *trust_keys(repository, tags=[name])]

    def move(self, found: Found, name: str, manifest: Manifest, context: ChangeContext) -> list[Write]:
        """Return the writes that point a tag to `manifest`, and copy its bytes. Raises TAG_IMMUTABLE, DENIED.

        The writes that move an existing tag verify the rules (effective.guarded_once).

        A tag that points to it already is only touched, without an event, since it does not change. The tag's hint at
        damage is that of the manifest.
        """
        repository, key = manifest.repository, Key(Tag, name, manifest.repository)
        current = found[key]
        if current is not None and current.digest == manifest.digest:
            if current.damaged == manifest.damaged:
                return [Touch(key)]
            return [Replace(replace(current, content=_inlined(manifest), damaged=manifest.damaged))]
        rules = self.rules.of(found, repository)
        if current is not None:
            rules.check_mutable(name)
        moved = history.next_event_time(found, key, self.clock)
        tag = Tag(
            id=name,
            repository=repository,
            digest=manifest.digest,
            media_type=manifest.media_type,
            size=manifest.size,
            content=_inlined(manifest),
            moved=moved,
            damaged=manifest.damaged,
        )
        before = "" if current is None else current.digest
        change = history.TagChange(before, manifest.digest, manifest.media_type, manifest.size)
        writes = [Create(tag)] if current is None else [Replace(replace(tag, version=current.version)), *rules.guard]
        writes += stale_writes(found, trust_keys(repository, tags=[name]), moved)
        if self.gate is not None:
            writes += self.gate.check_move(rules, manifest, name, context)
        return guarded_once([*writes, *history.event_writes(found, key, change, context, moved)])

    def drop(self, found: Found, tag: Tag, cause: str, context: ChangeContext) -> list[Write]:
        """Return the writes that delete a tag at its version, and leave a tombstone with its cause."""
        moved = history.next_event_time(found, tag.key, self.clock)
        earlier = found[Key(DeletedTag, tag.id, tag.repository)]
        deleted = converted(tag, DeletedTag, content=None, deleted=moved, by=context.actor, cause=cause)
        return [
            Delete(tag),
            Create(deleted) if earlier is None else Replace(replace(deleted, version=earlier.version)),
            *stale_writes(found, trust_keys(tag.repository, tags=[tag.id]), moved),
            *history.event_writes(found, tag.key, history.TagChange(tag.digest, ""), context, moved),
        ]

    def _try_to_delete(self, repository: str, name: str, context: ChangeContext, condition: Precondition) -> str:
        key = Key(Tag, name, repository)
        keys = [Key(Repository, repository), *self.rules.keys(repository), *self.keys(repository, name)]
        found = self._metadata.read(keys)
        tag = found[key]
        if tag is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": name})
        condition.check(tag.digest)
        rules = self.rules.of(found, repository)
        rules.check_mutable(name)
        writes = self.drop(found, tag, deletion_causes.of_tag(name), context)
        self._metadata.commit([*writes, *rules.guard, *review_writes(found, repository, self.clock())])
        documents_deleted(self._metadata, self.clock, [tag])
        return tag.digest


def _inlined(manifest: Manifest) -> bytes | None:
    """Return the copy of a manifest's bytes in its tags, or None if they are too large."""
    return manifest.content if manifest.size <= MAX_TAG_CONTENT else None
