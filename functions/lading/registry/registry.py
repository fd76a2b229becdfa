"""Registry: the facade through which the layers above use the registry's rules."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from lading.registry.change_context import Clock, now
from lading.registry.cleanup.apply import CleanupDeletion
from lading.registry.cleanup.inventory import Inventory
from lading.registry.cleanup.last_pulled import LastPulls
from lading.registry.content.blobs import Blobs
from lading.registry.content.manifests import Manifests
from lading.registry.content.uploads import Uploads
from lading.registry.document_changes import document_pushed
from lading.registry.in_use import InUseReports
from lading.registry.lifecycle.delete import Deletion
from lading.registry.lifecycle.restore import Undelete
from lading.registry.lifecycle.rollback import Rollback
from lading.registry.pagination import Page
from lading.registry.policies.gates import Gates
from lading.registry.pull import Pull
from lading.registry.push import Push
from lading.registry.readiness import Readiness
from lading.registry.rules.effective import NO_LOCAL_RULES, LocalRules
from lading.registry.rules.stored_rules import StoredRules
from lading.registry.signature_pushes import SignaturePushes
from lading.registry.tags.tagging import Tagging
from lading.registry.tags.tags import Tags
from lading_storage.protocols import BlobStore, MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Key, Repository

if TYPE_CHECKING:
    from lading.registry.attestations.kept_position import KeptPosition
    from lading.registry.attestations.passing_images import Judge, PassingImages
    from lading.registry.content.referrer_contents import ReferrerContents
    from lading.registry.events.event_feed import EventFeed
    from lading.registry.image_scans import ImageScans
    from lading.registry.inspection import Inspection
    from lading.registry.scans.scans import Scans
    from lading.registry.trust.exceptions import Exceptions
    from lading.registry.trust.verifier import Verifier
    from lading.registry.usage_pages import UsagePages
    from lading.vulnerabilities.document_keys import DocumentKeys


class Registry:
    """Registry over one blob store and one metadata store. Thread-safe.

    Clients read and write manifests and tags by the use cases `pull` and `push` alone, which decide what is allowed.
    Commands of an operator, and jobs, use the rules below them as well.

    Its only state are caches: of recently recorded pulls, of the stores' readiness, and of published events.

    scans_images  whether each image that is pushed is to be scanned
    vulnerability_repository  has the data about vulnerabilities; the composition sets it before the first request
    is_standby    whether the stores must not be written
    """

    def __init__(
        self,
        blobs: BlobStore,
        metadata: MetadataStore,
        local_rules: LocalRules = NO_LOCAL_RULES,
        clock: Clock = now,
        *,
        scans_images: bool = False,
    ) -> None:
        """Use these two stores, which `close` closes; jobs use them as well.

        `local_rules` are of this process. With `scans_images`, each image that is pushed is to be scanned.
        """
        self._clock = clock
        self.scans_images = scans_images
        self.vulnerability_repository = "lading/vulnerabilities"
        self.is_standby = False
        self._document_keys: DocumentKeys | None = None
        self.objects = blobs
        self.metadata = metadata
        self.blobs = Blobs(blobs, metadata, clock)
        self.uploads = Uploads(blobs, metadata, clock)
        self.rules = StoredRules(metadata, local_rules)
        self.tags = Tags(metadata, self.rules, clock)
        self.manifests = Manifests(blobs, metadata, self.uploads, self.tags, scans_images)
        self.deletion = Deletion(metadata, self.tags, clock)
        self.undelete = Undelete(metadata, self.tags, clock)
        self.rollback = Rollback(metadata, self.tags, clock)
        self.inventory = Inventory(metadata, self.rules)
        self.cleanup_deletion = CleanupDeletion(metadata, self.deletion, self.rules)
        self.in_use_reports = InUseReports(metadata, clock)
        self.last_pulls = LastPulls(metadata, clock)
        self.readiness = Readiness(blobs, metadata)
        self.gates = Gates(metadata, blobs, self.manifests, lambda: self.verifier, clock)
        self.tags.gate = self.gates
        self.judge: Judge = self.gates.judged
        self.pull = Pull(self.manifests.lookup, self.gates, self.last_pulls)
        self.push = Push(self.manifests, Tagging(metadata, self.tags, clock))
        self.push.after.append(SignaturePushes(metadata, self.gates.policies, lambda: self.verifier))

    def become_standby(self) -> None:
        """Write nothing to the stores; called before the first request."""
        self.is_standby = self.gates.is_stopped = True
        self.last_pulls.stop()

    def honour_documents(self, keys: "DocumentKeys") -> None:
        """Let documents about images count that one of `keys` signed; called before the first request."""
        self._document_keys = keys
        self.push.after.append(lambda manifest, tags: document_pushed(self.metadata, self._clock, manifest, tags))

    @property
    def inspection(self) -> "Inspection":
        """Summaries and details for people, imported at the first use: no cold start needs them."""
        from lading.registry.inspection import Inspection

        return Inspection(self.metadata, self.blobs, self.manifests, self.tags, self.gates.policies)

    @property
    def image_scans(self) -> "ImageScans":
        """What scans found, for readers, imported at the first use as well."""
        from lading.registry.image_scans import ImageScans

        return ImageScans(self.metadata, self.blobs, self.manifests, self._clock)

    @property
    def usage_pages(self) -> "UsagePages":
        """Pages of what disk usage counts, imported at the first use as well."""
        from lading.registry.usage_pages import UsagePages

        return UsagePages(self.metadata)

    @property
    def passing_images(self) -> "PassingImages":
        """Which images pass the policies, imported at the first use as well."""
        from lading.registry.attestations.passing_images import PassingImages

        return PassingImages(self.metadata, self.manifests, self.judge)

    @property
    def kept_position(self) -> "KeptPosition":
        """Where the attester's sweep goes on."""
        from lading.registry.attestations.kept_position import KeptPosition

        return KeptPosition(self.metadata, self._clock)

    @cached_property
    def event_feed(self) -> "EventFeed":
        """The published events, imported at the first use as well."""
        from lading.registry.events.event_feed import EventFeed

        return EventFeed(self.metadata, self._clock)

    @cached_property
    def scans(self) -> "Scans":
        """The scans of images, imported at the first use as well: a push only creates facts."""
        from lading.registry.scans.content import Content
        from lading.registry.scans.scans import Scans

        content = Content(self.metadata, self.manifests, self.uploads, self.blobs, self._clock)
        if self._document_keys is None:
            return Scans(content)
        from lading.registry.scans.signed_referrers import SignedReferrers

        return Scans(content, SignedReferrers(self._referrer_contents, self._document_keys))

    @cached_property
    def verifier(self) -> "Verifier":
        """The verifier of signatures, imported at the first use: where policies name signers."""
        from lading.registry.trust.verifier import Verifier

        return Verifier(self.metadata, self._referrer_contents, self._clock, writes=not self.is_standby)

    @property
    def trust_exceptions(self) -> "Exceptions":
        """Exceptions from policies, imported at the first use as well."""
        from lading.registry.trust.exceptions import Exceptions

        return Exceptions(self.metadata, self._clock)

    @property
    def _referrer_contents(self) -> "ReferrerContents":
        from lading.registry.content.referrer_contents import ReferrerContents

        return ReferrerContents(self.metadata, self.manifests, self.blobs)

    def repositories(self, after: str, limit: int) -> Page[str]:
        """Return the first `limit` repositories after `after`, in lexical order, without deleted ones."""
        records = self.metadata.find(Query(Repository, after=after, limit=limit + 1))
        names = [each.id for each in records[:limit] if not each.deleted]
        return Page(names, records[limit - 1].id if 0 < limit < len(records) else "")

    def existing(self, names: Sequence[str]) -> list[str]:
        """Return those of `names`, in the same order, whose repositories exist and are not deleted, with one read."""
        keys = [Key(Repository, name) for name in names]
        found = self.metadata.read(keys)
        return [key.id for key in keys if (record := found[key]) is not None and not record.deleted]

    def close(self) -> None:
        """Write the last pulls and events that are still queued, and close the stores."""
        self.last_pulls.close()
        self.gates.close()
        self.objects.close()
        self.metadata.close()
