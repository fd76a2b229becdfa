"""Tags: moving, deleting and listing them, and what they named at any time.

Every change of a tag is a row of its history (registry.moves), and an immutable tag has no second change. A deleted tag
stays on record, so that it can be restored.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from lading.registry.change_context import DELETE, ChangeContext, Clock
from lading.registry.content.preconditions import UNCONDITIONAL, Precondition
from lading.registry.errors import MANIFEST_UNKNOWN, NAME_UNKNOWN, RegistryError
from lading.registry.lifecycle import deletion_causes
from lading.registry.names import check_not_reserved
from lading.registry.pagination import Page, find_all
from lading.registry.repositories import review_writes
from lading.registry.retry import retry_on_conflict
from lading.registry.tags import history
from lading.registry.tags.immutable import ImmutableTags
from lading_storage.protocols import Create, Delete, Found, MetadataStore, Replace, Touch, Write
from lading_storage.records.core import Key, Manifest, Repository, Tag, converted
from lading_storage.records.deleted import DeletedTag, TagEvent, TagHistory

MAX_INLINE_CONTENT: Final = 64 * 1024
"""Bytes of a manifest that its tags repeat, so that a pull by tag is one read; nearly all manifests are smaller."""

MAX_SCANNED: Final = 2_000
"""Moves that one request for the history of present tags looks at."""

MIN_EVENTS_PER_READ: Final = 100
MAX_EVENTS_PER_READ: Final = 500
"""Of these moves, however few the client asks for: most may be of tags that are gone."""


class Tags:
    """The tags of all repositories."""

    def __init__(self, metadata: MetadataStore, immutable: ImmutableTags, clock: Clock) -> None:
        """Keep tags in `metadata`."""
        self.immutable = immutable
        self._metadata = metadata
        self.clock = clock

    def names(self, repository: str, after: str, limit: int) -> Page[str]:
        """The first `limit` tags behind `after`, in lexical order (end-8). Raises NAME_UNKNOWN."""
        tags = [tag.id for tag in self._metadata.scan(Tag, repository, after=after, limit=limit + 1)]
        if not tags:
            self.require(repository)
        return Page(tags[:limit], tags[limit - 1] if 0 < limit < len(tags) else "")

    def history(self, repository: str, tag: str, after: str, limit: int) -> Page[TagEvent]:
        """The first `limit` moves of a tag behind the id `after`, newest first; of all tags where `tag` is ""."""
        if tag:
            behind = Key(TagEvent, after, repository) if after else None
            rows = self._metadata.find(TagEvent, {"tag": tag}, repository=repository, after=behind, limit=limit + 1)
        else:
            rows = self._metadata.scan(TagEvent, repository, after=after, limit=limit + 1)
        return Page(rows[:limit], rows[limit - 1].id if 0 < limit < len(rows) else "")

    def require(self, repository: str, *, deleted: bool = False) -> None:
        """Raise NAME_UNKNOWN unless a repository is there; with `deleted`, unless it is, or was deleted."""
        key = Key(Repository, repository)
        record = self._metadata.read([key])[key]
        if record is None or (record.deleted and not deleted):
            raise RegistryError(NAME_UNKNOWN, {"name": repository})

    def history_of_live_tags(self, repository: str, tag: str, after: str, limit: int) -> Page[TagEvent]:
        """The same as `history`, but only of tags that are there now, as `names` lists them.

        Looks at MAX_SCANNED moves at most. The next page begins after a move that is shown, so that no id tells of
        another tag: where so many in a row are of tags that are gone, the listing ends. Raises NAME_UNKNOWN.
        """
        self.require(repository)
        if tag:
            return self.history(repository, tag, after, limit) if self._present(repository, {tag}) else Page([])
        shown: list[TagEvent] = []
        size = max(MIN_EVENTS_PER_READ, min(limit + 1, MAX_EVENTS_PER_READ))
        looked, more = 0, limit > 0
        while more and len(shown) <= limit and looked < MAX_SCANNED:
            page = self.history(repository, "", after, size)
            present = self._present(repository, {move.tag for move in page.items})
            shown += [move for move in page.items if move.tag in present]
            looked, after, more = looked + len(page.items), page.next, bool(page.next)
        ends = len(shown) <= limit and not more
        return Page(shown[:limit], "" if ends or not shown[:limit] else shown[:limit][-1].id)

    def is_present(self, repository: str, name: str) -> bool:
        """Whether a tag is there now."""
        return bool(self._present(repository, {name}))

    def _present(self, repository: str, names: Collection[str]) -> set[str]:
        """Those of some tags that are there now."""
        keys = [Key(Tag, name, repository) for name in names]
        found = self._metadata.read(keys, content=False) if keys else Found({})
        return {key.id for key in keys if found[key] is not None}

    def digest_at(self, repository: str, tag: str, moment: datetime) -> str:
        """Return the digest of what a tag named at a moment. Raises MANIFEST_UNKNOWN where it named nothing."""
        row = self._last_event(repository, tag, moment)
        if row is None or not row.digest:
            reason = "the tag was deleted by then" if row else "the tag has no history that goes back so far"
            raise RegistryError(MANIFEST_UNKNOWN, {"tag": tag, "reason": reason})
        return row.digest

    def _last_event(self, repository: str, tag: str, moment: datetime) -> TagEvent | None:
        """Return the last move of a tag up to a moment: the one with the highest number."""
        key = Key(TagHistory, tag, repository)
        record = self._metadata.read([key])[key]
        if record is not None and record.clamped:
            moved = find_all(self._metadata, TagEvent, {"tag": tag}, repository)
            return next((row for row in moved if row.moved <= moment), None)
        after = history.cursor_at(repository, moment)
        return next(
            iter(self._metadata.find(TagEvent, {"tag": tag}, repository=repository, after=after, limit=1)), None
        )

    def delete(
        self, repository: str, name: str, context: ChangeContext = DELETE, condition: Precondition = UNCONDITIONAL
    ) -> str:
        """Remove a tag, and return the digest that it named; its manifest stays (end-9).

        Raises MANIFEST_UNKNOWN, PRECONDITION_FAILED, TAG_RESERVED, TAG_IMMUTABLE.
        """
        check_not_reserved(name)
        return retry_on_conflict(lambda: self._try_to_delete(repository, name, context, condition))

    def keys(self, repository: str, name: str) -> list[Key[Any]]:
        """What must be read before `move` or `drop`."""
        return [Key(Tag, name, repository), *history.history_keys(repository, name), Key(DeletedTag, name, repository)]

    def move(self, found: Found, name: str, manifest: Manifest, context: ChangeContext) -> list[Write]:
        """The writes that let a tag name `manifest`, whose bytes it repeats. Raises TAG_IMMUTABLE.

        A tag that names it already is only touched: nothing moves, so there is nothing for the history. Its hint at
        damage is that of the manifest.
        """
        repository, key = manifest.repository, Key(Tag, name, manifest.repository)
        current = found[key]
        if current is not None and current.digest == manifest.digest:
            if current.damaged == manifest.damaged:
                return [Touch(key)]
            return [Replace(replace(current, content=_inlined(manifest), damaged=manifest.damaged))]
        if current is not None:
            self.immutable.check(repository, name)
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
        write = Create(tag) if current is None else Replace(replace(tag, version=current.version))
        return [write, *history.event_writes(found, key, history.TagChange(before, manifest.digest), context, moved)]

    def drop(self, found: Found, tag: Tag, cause: str, context: ChangeContext) -> list[Write]:
        """The writes that delete a tag at its version, and keep what it named for a while."""
        moved = history.next_event_time(found, tag.key, self.clock)
        earlier = found[Key(DeletedTag, tag.id, tag.repository)]
        deleted = converted(tag, DeletedTag, content=None, deleted=moved, by=context.actor, cause=cause)
        return [
            Delete(tag),
            Create(deleted) if earlier is None else Replace(replace(deleted, version=earlier.version)),
            *history.event_writes(found, tag.key, history.TagChange(tag.digest, ""), context, moved),
        ]

    def _try_to_delete(self, repository: str, name: str, context: ChangeContext, condition: Precondition) -> str:
        key = Key(Tag, name, repository)
        found = self._metadata.read([Key(Repository, repository), *self.keys(repository, name)])
        tag = found[key]
        if tag is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": name})
        condition.check(tag.digest)
        self.immutable.check(repository, name)
        writes = self.drop(found, tag, deletion_causes.of_tag(name), context)
        self._metadata.commit([*writes, *review_writes(found, repository, self.clock())])
        return tag.digest


def _inlined(manifest: Manifest) -> bytes | None:
    """Return the bytes that a tag repeats of its manifest, or None."""
    return manifest.content if manifest.size <= MAX_INLINE_CONTENT else None
