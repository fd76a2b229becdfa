"""Inspection: what people see of repositories, tags and manifests.

The cost follows what is shown: a page of tags is a listing, a read for each level of their manifests, and one read of
their last pulls and scans. Sizes are those that manifests state.
"""

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from lading.registry.content.blobs import Blobs
from lading.registry.content.manifest_contents import Descriptor, ManifestContents, platform_of, texts
from lading.registry.content.manifest_format import IMAGE_CONFIGS
from lading.registry.content.manifests import Manifests
from lading.registry.content.referrer_tags import attaches, referrer_tags_of
from lading.registry.details import (
    ConfigDetails,
    DeletedSummary,
    LayerDetails,
    ManifestDetails,
    PlatformDetails,
    ReferrerDetails,
    RepositorySummary,
    TagSummary,
)
from lading.registry.errors import DIGEST_AMBIGUOUS, MANIFEST_UNKNOWN, RegistryError
from lading.registry.manifest_trees import ManifestTrees
from lading.registry.names import is_digest_reference, parse_as_of
from lading.registry.pagination import PAGE_SIZE, Page, check_advance
from lading.registry.policies.policy_cache import PolicyCache
from lading.registry.scan_summaries import ScanSummaries
from lading.registry.signature_summaries import SignatureSummaries
from lading.registry.tags.tags import Tags
from lading_storage.digests import ALGORITHMS, algorithm_of, digest_of, is_digest
from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.protocols import MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Blob, Key, Manifest, Repository, Tag
from lading_storage.records.deleted import DeletedManifest, DeletedTag, TagEvent
from lading_storage.records.jobs import LastPull

MAX_LISTED: Final = 100
"""Tags and referrers of one manifest that are shown."""

MAX_CHECKED: Final = 1_000
"""Blobs of one manifest whose records are read to say which of them is damaged."""

MAX_AMBIGUOUS: Final = 10
"""Digests that are listed where a prefix is of more than one."""

MAX_CONFIG_SIZE: Final = 1024 * 1024
"""Bytes of a configuration that is read."""


class Inspection:
    """Reads summaries and details. Nothing is written, and no pull is recorded."""

    def __init__(
        self, metadata: MetadataStore, blobs: Blobs, manifests: Manifests, tags: Tags, policies: PolicyCache
    ) -> None:
        """Read `metadata`, and through `blobs` and `manifests` the bytes of configurations and large manifests."""
        self._policies = policies
        self._metadata = metadata
        self._blobs = blobs
        self._manifests = manifests
        self._tags = tags

    def repositories(self, after: str, limit: int) -> Page[RepositorySummary]:
        """Return the first `limit` repositories after a name, in lexical order."""
        found: list[RepositorySummary] = []
        while len(found) <= limit:
            size = min(PAGE_SIZE, limit + 1 - len(found))
            records = self._metadata.find(Query(Repository, after=after, limit=size))
            found += [RepositorySummary(each.id, each.created) for each in records if not each.deleted]
            if len(records) < size:
                break
            check_advance(after, [each.id for each in records])
            after = records[-1].id
        return Page(found[:limit], found[limit - 1].name if 0 < limit < len(found) else "")

    def named(self, names: Sequence[str]) -> list[RepositorySummary]:
        """Return the summaries of those of some repositories that exist, in the same order, with one read."""
        keys = [Key(Repository, name) for name in names]
        found = self._metadata.read(keys) if keys else None
        records = [record for key in keys if found and (record := found[key]) is not None]
        return [RepositorySummary(each.id, each.created) for each in records if not each.deleted]

    def tags(self, repository: str, after: str, limit: int) -> Page[TagSummary]:
        """Return the first `limit` tags after a name, in the order of tag listings.

        Raises:
            RegistryError: NAME_UNKNOWN.
        """
        records = self._metadata.find(Query(Tag, repository=repository, after=after, limit=limit + 1))
        if not records:
            self._tags.require(repository)
        page = records[:limit]
        digests = list(dict.fromkeys(tag.digest for tag in page))
        trees = ManifestTrees(self._metadata, self._manifests, repository, digests)
        pulls, scans, signed = self._beside(repository, digests, trees)
        summaries = [
            TagSummary(
                repository=repository,
                tag=tag.id,
                digest=tag.digest,
                media_type=tag.media_type,
                size=trees.size(tag.digest),
                pushed=tag.moved,
                last_pull=pulls.get(tag.digest),
                scan=scans.summary(tag.digest),
                signed=signed.summary(tag.digest),
            )
            for tag in page
        ]
        return Page(summaries, page[-1].id if page and len(records) > limit else "")

    def manifest(self, repository: str, reference: str, *, only_present: bool = False) -> ManifestDetails:
        """Return the details of the manifest that a tag or digest names, also a tag as of a time.

        With `only_present`, a tag as of a time must exist now as well.

        Raises:
            RegistryError: MANIFEST_UNKNOWN.
        """
        digest = self._manifests.find(repository, reference, only_present=only_present).digest
        trees = self._tree(repository, digest)
        manifest, contents = trees.records[digest], trees.contents_of(digest)
        tag = "" if is_digest_reference(reference) or parse_as_of(reference) else reference
        tags = self._metadata.find(Query(Tag, {"digest": manifest.digest}, repository=repository, limit=MAX_LISTED))
        event = self._last_event(repository, tag, tags)
        pulls, scans, signed = self._beside(repository, [digest], trees)
        return ManifestDetails(
            repository=repository,
            tag=tag,
            digest=manifest.digest,
            media_type=manifest.media_type,
            artifact_type=manifest.artifact_type,
            subject=manifest.subject,
            size=trees.size(manifest.digest),
            manifest_size=manifest.size,
            damaged=digest not in trees.contents,
            created=manifest.created,
            pushed=event.moved if event else None,
            pushed_by=event.by if event else "",
            pushed_action=event.action if event else "",
            last_pull=pulls.get(digest),
            tags=tuple(each.id for each in tags),
            annotations=contents.annotations,
            platforms=tuple(_platform(each, trees, scans) for each in contents.manifests),
            config=self._config(repository, contents.config) if contents.config else None,
            layers=self._layers(manifest, contents),
            referrers=tuple(self._referrers(manifest)),
            scan=scans.summary(digest),
            signed=signed.summary(digest),
            signatures=signed.details(digest),
        )

    def _tree(self, repository: str, digest: str) -> ManifestTrees:
        """Return what is below a manifest, and it itself. Raises MANIFEST_UNKNOWN if it was deleted meanwhile."""
        trees = ManifestTrees(self._metadata, self._manifests, repository, [digest])
        if digest not in trees.records:
            raise RegistryError(MANIFEST_UNKNOWN, {"reference": digest})
        return trees

    def deleted(self, repository: str, after: str, limit: int, window: timedelta) -> Page[DeletedSummary]:
        """Return the first `limit` tombstones of a repository after the id `after`: manifests, then tags.

        Args:
            repository: its name.
            after: the digest or tag of the last tombstone of the previous page, or "".
            limit: the maximum number.
            window: the undelete window.

        Raises:
            RegistryError: NAME_UNKNOWN.
        """
        found: list[DeletedManifest | DeletedTag] = []
        if not after or ":" in after:
            manifests = Query(DeletedManifest, repository=repository, after=after, limit=limit + 1)
            found = [*self._metadata.find(manifests)]
            after = ""
        if len(found) <= limit:
            tags = Query(DeletedTag, repository=repository, after=after, limit=limit + 1 - len(found))
            found = [*found, *self._metadata.find(tags)]
        if not found:
            self._tags.require(repository, deleted=True)
        page = [deleted_summary(each, window) for each in found[:limit]]
        return Page(page, found[limit - 1].id if 0 < limit < len(found) else "")

    def find_digest(self, repository: str, prefix: str, deleted: bool = False) -> str:
        """Return the digest of the only manifest, or deleted manifest, whose digest begins with `prefix`.

        Raises:
            RegistryError: MANIFEST_UNKNOWN; DIGEST_AMBIGUOUS with the first MAX_AMBIGUOUS digests.
        """
        if is_digest(prefix):
            return prefix
        kind: type[Manifest | DeletedManifest] = DeletedManifest if deleted else Manifest
        query = Query(kind, repository=repository, after=_before(prefix), limit=MAX_AMBIGUOUS)
        records = self._metadata.find(query)
        digests = [each.id for each in records if each.id.startswith(prefix)]
        if len(digests) > 1:
            raise RegistryError(DIGEST_AMBIGUOUS, {"digest": prefix, "reason": ", ".join(digests)})
        if not digests:
            raise RegistryError(MANIFEST_UNKNOWN, {"digest": prefix})
        return digests[0]

    def find_deleted_digest(self, repository: str, prefix: str) -> str:
        """Return the digest of the only deleted manifest, or else live one, whose digest begins with `prefix`.

        A live one may have been restored by the same request, which was sent again. Raises as `find_digest` does.
        """
        try:
            return self.find_digest(repository, prefix, deleted=True)
        except RegistryError as error:
            if error.descriptor is not MANIFEST_UNKNOWN:
                raise
        return self.find_digest(repository, prefix)

    def _layers(self, manifest: Manifest, contents: ManifestContents) -> tuple[LayerDetails, ...]:
        """Return the layers; their blobs are read only where the record hints at damage."""
        keys = [Key(Blob, digest) for digest in manifest.blobs[:MAX_CHECKED]] if manifest.damaged else []
        found = self._metadata.read(keys) if keys else None
        damaged = {key.id for key in keys if found and (blob := found[key]) is not None and blob.damaged}
        return tuple(
            LayerDetails(each.digest, each.media_type, each.size, each.digest in damaged) for each in contents.layers
        )

    def _beside(
        self, repository: str, digests: Sequence[str], trees: ManifestTrees
    ) -> tuple[Mapping[str, datetime], ScanSummaries, SignatureSummaries]:
        """Return the last pulls and signatures of manifests, and the scans of what is below them, with one read."""
        pulls, scans = [Key(LastPull, digest, repository) for digest in digests], ScanSummaries(repository, trees)
        signed = SignatureSummaries(self._policies, repository, digests)
        found = self._metadata.read([*pulls, *scans.keys, *signed.keys], content=False) if pulls else None
        if found is None:
            return {}, scans, signed
        scans.add(found)
        signed.add(self._metadata, found, self._tags.clock(found.read_at))
        return {key.id: pull.pulled for key in pulls if (pull := found[key]) is not None}, scans, signed

    def _last_event(self, repository: str, tag: str, tags: Sequence[Tag]) -> TagEvent | None:
        """Return the last event of a tag; where there is none, of that of `tags` which was set last."""
        name = tag or max(((each.moved, each.id) for each in tags), default=(None, ""))[1]
        return next(iter(self._tags.history(repository, name, "", 1).items), None) if name else None

    def _referrers(self, manifest: Manifest) -> Iterable[ReferrerDetails]:
        """Return what refers to a manifest: by subject, then by tags made of its digest."""
        where = {"subject": manifest.digest}
        for each in self._metadata.find(Query(Manifest, where, repository=manifest.repository, limit=MAX_LISTED)):
            yield ReferrerDetails(each.digest, each.artifact_type, each.size, each.created, "")
        keys = [Key(Tag, name, manifest.repository) for name in referrer_tags_of(manifest.digest)]
        found = self._metadata.read(keys, content=False)
        tags = [tag for key in keys if (tag := found[key]) is not None]
        holders = {tag.id: Key(Manifest, tag.digest, manifest.repository) for tag in tags}
        attached = self._metadata.read(list(dict.fromkeys(holders.values())), content=False) if tags else None
        for tag in tags:
            holder = attached[holders[tag.id]] if attached else None
            if holder is not None and attaches(tag.id, holder.subject, holder.attachment):
                yield ReferrerDetails(holder.digest, holder.artifact_type, holder.size, holder.created, tag.id)

    def _config(self, repository: str, descriptor: Descriptor) -> ConfigDetails:
        if descriptor.media_type not in IMAGE_CONFIGS or descriptor.size > MAX_CONFIG_SIZE:
            return config_details(descriptor, {})
        content = None
        # Its bytes may be lost: what is known otherwise is shown all the same.
        with contextlib.suppress(ObjectNotFound, Corrupt, RegistryError):
            link = self._blobs.get(repository, descriptor.digest)
            content = b"".join(self._blobs.open(link, 0, min(link.size, MAX_CONFIG_SIZE)))
        if content is None or not _is_content_of(descriptor.digest, content):
            return config_details(descriptor, {}, damaged=True)
        fields: Any = {}
        with contextlib.suppress(ValueError, RecursionError):
            fields = json.loads(content)
        return config_details(descriptor, fields)


def deleted_summary(record: DeletedManifest | DeletedTag, window: timedelta) -> DeletedSummary:
    """Return the summary of a tombstone; `window` is the undelete window."""
    is_tag = isinstance(record, DeletedTag)
    return DeletedSummary(
        reference=f"{record.repository}{':' if is_tag else '@'}{record.id}",
        kind="tag" if is_tag else "manifest",
        digest=record.digest,
        size=record.size,
        deleted=record.deleted,
        by=record.by,
        until=record.deleted + window,
    )


def _before(prefix: str) -> str:
    """Return the last possible digest before those with a prefix: a store may compare digests by their bytes."""
    algorithm, _, digits = prefix.partition(":")
    length = ALGORITHMS[algorithm]
    first = int(digits.ljust(length, "0"), 16)
    return f"{algorithm}:{first - 1:0{length}x}" if first else ""


def _is_content_of(digest: str, content: bytes) -> bool:
    return not is_digest(digest) or digest_of(content, algorithm_of(digest)) == digest


def config_details(descriptor: Descriptor, fields: Any, damaged: bool = False) -> ConfigDetails:
    """Return the details of a configuration from its JSON, of which only values of the right types count."""
    fields = fields if isinstance(fields, dict) else {}
    run = fields.get("config")
    run = run if isinstance(run, dict) else {}
    return ConfigDetails(
        digest=descriptor.digest,
        media_type=descriptor.media_type,
        size=descriptor.size,
        damaged=damaged,
        platform=platform_of(fields),
        created=_text(fields.get("created")),
        user=_text(run.get("User")),
        working_dir=_text(run.get("WorkingDir")),
        entrypoint=_text_list(run.get("Entrypoint")),
        command=_text_list(run.get("Cmd")),
        environment=_text_list(run.get("Env")),
        ports=tuple(run["ExposedPorts"]) if isinstance(run.get("ExposedPorts"), dict) else (),
        labels=texts(run.get("Labels")),
    )


def _platform(child: Descriptor, trees: ManifestTrees, scans: ScanSummaries) -> PlatformDetails:
    """Return the details of a child of an index."""
    return PlatformDetails(
        platform=child.platform,
        digest=child.digest,
        media_type=child.media_type,
        size=trees.size(child.digest),
        damaged=child.digest in trees.records and child.digest not in trees.contents,
        scan=scans.summary(child.digest),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _text_list(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
