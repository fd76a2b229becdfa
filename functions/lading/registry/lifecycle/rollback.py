"""Rollback: a tag names again what it named before."""

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


class Rollback:
    """Moves tags back. A rollback is a move like any other, and can be undone by another one."""

    def __init__(self, metadata: MetadataStore, tags: Tags, clock: Clock) -> None:
        """Move tags in `metadata`."""
        self._metadata = metadata
        self._tags = tags
        self._clock = clock

    def to_digest(self, repository: str, tag: str, digest: str, context: ChangeContext = ROLLBACK) -> None:
        """Let a tag name the manifest `digest`, in one commit.

        Raises MANIFEST_UNKNOWN where the tag or the manifest is gone, MANIFEST_BLOB_UNKNOWN with what else is gone of
        all that is below it, and TAG_IMMUTABLE.
        """
        retry_on_conflict(lambda: self._try(repository, tag, digest, context))

    def by_steps(self, repository: str, tag: str, steps: int, context: ChangeContext = ROLLBACK) -> str:
        """Go back so many moves; answers the digest. Raises HISTORY_UNKNOWN, and as `to` does."""
        rows = self._tags.history(repository, tag, "", min(steps, MAX_STEPS) + 1).items
        if steps < 1 or len(rows) <= steps or not rows[steps].digest:
            raise RegistryError(HISTORY_UNKNOWN, {"tag": tag, "steps": steps, "moves": len(rows)})
        self.to_digest(repository, tag, rows[steps].digest, context)
        return rows[steps].digest

    def to_time(self, repository: str, tag: str, moment: datetime, context: ChangeContext = ROLLBACK) -> str:
        """Go back to what the tag named at a moment; answers the digest. Raises as `to` does."""
        digest = self._tags.digest_at(repository, tag, moment)
        self.to_digest(repository, tag, digest, context)
        return digest

    def _try(self, repository: str, tag: str, digest: str, context: ChangeContext) -> None:
        found = self._metadata.read([Key(Repository, repository), *self._tags.keys(repository, tag)])
        if found[Key(Tag, tag, repository)] is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"tag": tag, "reason": "no such tag; restore one that was deleted"})
        key = Key(Manifest, digest, repository)
        manifest = self._metadata.read([key])[key]
        if manifest is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"digest": digest, "reason": "the manifest has been deleted"})
        self._refuse_incomplete(manifest)
        moved = self._tags.move(found, tag, manifest, context)
        self._metadata.commit([Touch(key), *moved, *review_writes(found, repository, self._clock())])

    def _refuse_incomplete(self, root: Manifest) -> None:
        """Raises MANIFEST_BLOB_UNKNOWN with all that is gone below a manifest.

        What lives is whole by the rules; this is the last look before production depends on it.
        """
        gone: list[str] = []
        waiting, seen = [root], {root.id}
        while waiting:
            manifest = waiting.pop()
            keys, may_lack = dependencies_of(manifest), {*manifest.may_lack}
            found = self._metadata.read(keys, content=False)
            for key in keys:
                record = found[key]
                if record is None and key.id not in may_lack:
                    gone.append(key.id)
                elif isinstance(record, Manifest) and record.id not in seen:
                    seen.add(record.id)
                    waiting.append(record)
        if gone:
            raise RegistryError(MANIFEST_BLOB_UNKNOWN, [{"digest": digest} for digest in gone])
