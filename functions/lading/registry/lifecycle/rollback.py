"""Rollback: point a tag to a manifest to which it pointed before."""

from datetime import datetime

from lading.registry.change_context import ROLLBACK, ChangeContext, Clock
from lading.registry.content.dependencies import dependencies_of
from lading.registry.errors import HISTORY_UNKNOWN, MANIFEST_BLOB_UNKNOWN, MANIFEST_UNKNOWN, RegistryError
from lading.registry.repositories import review_writes
from lading.registry.retry import retry_on_conflict
from lading.registry.tags.tags import Tags
from lading_storage.protocols import MetadataStore, Touch
from lading_storage.records.core import Key, Manifest, Repository, Tag

MAX_STEPS = 1_000
"""Events that a rollback by steps can go back."""


class Rollback:
    """Moves tags back. A rollback is an event like any other move, and another rollback can undo it."""

    def __init__(self, metadata: MetadataStore, tags: Tags, clock: Clock) -> None:
        """Move tags in `metadata`."""
        self._metadata = metadata
        self._tags = tags
        self._clock = clock

    def to_digest(self, repository: str, tag: str, digest: str, context: ChangeContext = ROLLBACK) -> None:
        """Point a tag to the manifest `digest`, in one commit.

        Raises:
            RegistryError: MANIFEST_UNKNOWN if the tag or the manifest is deleted; MANIFEST_BLOB_UNKNOWN with all that
                is missing below the manifest; TAG_IMMUTABLE.
        """
        retry_on_conflict(lambda: self._try(repository, tag, digest, context))

    def by_steps(self, repository: str, tag: str, steps: int, context: ChangeContext = ROLLBACK) -> str:
        """Go back by a number of events, and return the digest. Raises HISTORY_UNKNOWN, and as `to_digest` does."""
        events = self._tags.history(repository, tag, "", min(steps, MAX_STEPS) + 1).items
        if steps < 1 or len(events) <= steps or not events[steps].digest:
            raise history_unknown(tag, steps, len(events))
        self.to_digest(repository, tag, events[steps].digest, context)
        return events[steps].digest

    def to_time(self, repository: str, tag: str, moment: datetime, context: ChangeContext = ROLLBACK) -> str:
        """Go back to what the tag pointed to at a time, and return the digest. Raises as `to_digest` does."""
        digest = self._tags.digest_at(repository, tag, moment)
        self.to_digest(repository, tag, digest, context)
        return digest

    def _try(self, repository: str, tag: str, digest: str, context: ChangeContext) -> None:
        own = [*self._tags.rules.keys(repository), *self._tags.keys(repository, tag)]
        found = self._metadata.read([Key(Repository, repository), *own])
        if found[Key(Tag, tag, repository)] is None:
            reason = "the tag does not exist; if it was deleted, restore it"
            raise RegistryError(MANIFEST_UNKNOWN, {"tag": tag, "reason": reason})
        key = Key(Manifest, digest, repository)
        manifest = self._metadata.read([key])[key]
        if manifest is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"digest": digest, "reason": "the manifest has been deleted"})
        self._refuse_incomplete(manifest)
        tag_writes = self._tags.move(found, tag, manifest, context)
        self._metadata.commit([Touch(key), *tag_writes, *review_writes(found, repository, self._clock())])

    def _refuse_incomplete(self, root: Manifest) -> None:
        """Raise MANIFEST_BLOB_UNKNOWN with all that is missing below a manifest.

        By the rules, a live manifest is complete; this is the last check before production depends on it.
        """
        missing: list[str] = []
        pending, seen = [root], {root.id}
        while pending:
            manifest = pending.pop()
            keys, may_lack = dependencies_of(manifest), {*manifest.may_lack}
            found = self._metadata.read(keys, content=False)
            for key in keys:
                record = found[key]
                if record is None and key.id not in may_lack:
                    missing.append(key.id)
                elif isinstance(record, Manifest) and record.id not in seen:
                    seen.add(record.id)
                    pending.append(record)
        if missing:
            raise RegistryError(MANIFEST_BLOB_UNKNOWN, [{"digest": digest} for digest in missing])


def history_unknown(tag: str, steps: int, events: int) -> RegistryError:
    """Return HISTORY_UNKNOWN: a tag with this number of events cannot go back by so many, or was deleted then."""
    return RegistryError(HISTORY_UNKNOWN, {"tag": tag, "steps": steps, "moves": events})
