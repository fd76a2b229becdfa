"""Claims: which images a scanner is to work on, so that each is finished although scanners die.

    waiting ──claim──▶ claimed ──result──▶ done, partial, unsupported, failed
                          │  ▲
         the lease ends   ▼  │ claimed again, MAX_TRIES times; then failed, with the reason
                         due

A claim is a nonce in the facts of the image, and a time until which other scanners leave it alone. Nothing is locked: a
scanner that continues after its lease has a nonce that is not on record, so its result changes nothing.

Images that wait for their first scan come first, then those whose packages are to be compared with newer data, the
longest due first, then those of a backlog, whose first scans were requested. The queues but the first are read once a
minute, so that a scanner without work costs one query.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from lading.registry.change_context import Clock
from lading.registry.content.manifest_contents import ManifestContents, read_contents
from lading.registry.content.manifests import Manifests
from lading.registry.errors import RegistryError
from lading.registry.retry import try_to_commit
from lading.registry.scans import key_changes
from lading.registry.scans.claim import Claim, ClaimedLayer
from lading.registry.scans.image_use import ImageUse
from lading.scanning.findings import FAILED
from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.protocols import Delete, MetadataStore, QueueCursor, Replace
from lading_storage.records.core import Key, Link, Manifest, due_entry
from lading_storage.records.deleted import DeletedManifest
from lading_storage.records.scans import BACKLOG, DOCUMENTS, MATCH, SCAN, Facts, LayerScan

if TYPE_CHECKING:
    from lading.registry.scans.signed_referrers import SignedReferrers

LEASE: Final = timedelta(minutes=15)
"""How long a scanner may work on an image."""

MAX_TRIES: Final = 3
"""How often a task is claimed before it counts as failed."""

MATCH_INTERVAL: Final = timedelta(days=1)
"""Time from a result to the next comparison with newer data, and of an image that is not in use to the next look."""

DELETED_WAIT: Final = timedelta(hours=1)
"""Until an image that was deleted before its first scan is looked at again: a restore writes nothing to its facts."""

MAX_ROUNDS: Final = 10
"""Pages of images that are put off, or claimed by others, before a call ends without a claim."""

LATER_QUEUES: Final = ((MATCH, DOCUMENTS), (BACKLOG,))
"""Queues that come after that of pushed images. Those that stand together are one, by time: after an upgrade the
comparisons of a day may take longer than a day, and images with signed documents must not wait for all others."""

LATER_INTERVAL: Final = timedelta(minutes=1)
"""How often a process reads a later queue while nothing in it is due."""

MAX_PACKAGES_SIZE: Final = 16 * 1024 * 1024
"""Bytes of packages in one claim, and about in one call: the rest is read from the layers."""


PAGE_SIZE: Final = 100
"""Facts that are read at once to find the claims of killed scanners."""


def new_nonce() -> str:
    """Return a nonce that says nothing of its scanner."""
    return secrets.token_hex(16)


class Claims:
    """Claims of one registry. Not thread-safe, but as many processes as there are may claim."""

    def __init__(
        self, metadata: MetadataStore, manifests: Manifests, clock: Clock, signed: "SignedReferrers | None" = None
    ) -> None:
        """Claim images of `manifests`, with the documents of `signed`."""
        self._signed = signed
        self._metadata = metadata
        self._manifests = manifests
        self._clock = clock
        self._looks: dict[str, datetime] = {}
        self._has_applied_keys = False

    def claim(self, limit: int, extractor: int, new_nonce: Callable[[], str] = new_nonce) -> list[Claim]:
        """Claim images that are due, for one scanner.

        Args:
            limit: the maximum number of images.
            extractor: the version of the scanner's extractors; what another version read of a layer is left out.
            new_nonce: makes the nonce of a claim, which no other process can guess.

        Returns:
            The claims. There may be fewer than are due; none if there was nothing to do for the first ones in
            MAX_ROUNDS pages.
        """
        if not self._has_applied_keys:
            key_changes.apply(self._metadata, self._signed.version if self._signed else "", self._clock)
            self._has_applied_keys = True
        use = ImageUse(self._metadata, self._clock())
        for _ in range(MAX_ROUNDS):
            due = self._due(limit)
            if claims := self._claim_of(due, extractor, use, new_nonce):
                return claims
            if not due:
                break
        return []

    def release(self, repository: str, digest: str, nonce: str) -> None:
        """End a claim without a result, as if it had never been: the image is due again. Idempotent.

        A claim that has ended, or has a result, is left alone.
        """
        key = Key(Facts, digest, repository)
        found = self._metadata.read([key])
        facts, now = found[key], self._clock(found.read_at)
        if facts is not None and nonce and facts.claim == nonce:
            try_to_commit(self._metadata, Replace(replace(facts, claim="", tries=facts.tries - 1, next=now)))

    def end(self, has_ended: Callable[[str], bool]) -> int:
        """End the claims of scanners that were killed, whose images do not wait for the leases; return how many.

        Each counts as a try, since the image may be what killed its scanner. Of each queue it reads what becomes due
        within a lease.

        Args:
            has_ended: whether the scanner has ended that made a nonce.
        """
        now, count = self._clock(), 0
        for queue in Facts.QUEUES:
            # An id before all others: a cursor names a record.
            after = QueueCursor(due_entry(queue, now), Key(Facts, "sha256:0", "a"))
            while page := self._metadata.due(Facts, queue, now + LEASE, after=after, limit=PAGE_SIZE):
                ended = [each.record for each in page if each.record.claim and has_ended(each.record.claim)]
                count += sum(self._try_to_end(each, now) for each in ended)
                after = page[-1].cursor
        return count

    def _try_to_end(self, listed: Facts, now: datetime) -> bool:
        facts = self._metadata.read([listed.key])[listed.key]
        if facts is None or facts.claim != listed.claim:
            return False
        return try_to_commit(self._metadata, Replace(replace(facts, claim="", next=now)))

    def _claim_of(
        self, due: Sequence[Facts], extractor: int, use: ImageUse, new_nonce: Callable[[], str]
    ) -> list[Claim]:
        """Claim those of some images that there is work for, until their packages take too much memory."""
        claims: list[Claim] = []
        size = 0
        for facts in due:
            if size > MAX_PACKAGES_SIZE:
                break
            if (claim := self._try_to_claim(facts, extractor, use, new_nonce)) is not None:
                claims.append(claim)
                size += sum(len(layer.packages or b"") for layer in claim.layers)
        return claims

    def _due(self, limit: int) -> list[Facts]:
        """Return facts whose task is due, without content."""
        now = self._clock()
        due = [queued.record for queued in self._metadata.due(Facts, SCAN, now, limit=limit)]
        for queues in LATER_QUEUES:
            if (left := limit - len(due)) > 0:
                later = [each for queue in queues for each in self._due_later(queue, now, left)]
                due += sorted(later, key=lambda facts: facts.next)[:left]
        return due

    def _due_later(self, queue: str, now: datetime, limit: int) -> list[Facts]:
        """Return what is due in a queue that was not found empty within LATER_INTERVAL."""
        if self._looks.get(queue, now) > now:
            return []
        later = [queued.record for queued in self._metadata.due(Facts, queue, now, limit=limit)]
        if not later:
            self._looks[queue] = now + LATER_INTERVAL
        return later

    def _try_to_claim(self, listed: Facts, extractor: int, use: ImageUse, new_nonce: Callable[[], str]) -> Claim | None:
        """Claim an image, or put it off; return None if there is nothing to do, or another scanner was faster."""
        keys = _keys(listed)
        found = self._metadata.read(keys)
        facts, manifest, now = found[listed.key], found[keys[1]], self._clock(found.read_at)
        if facts is None or not facts.task or facts.next > now:
            return None
        if manifest is None:
            self._put_off_deleted(facts, now, is_restorable=found[keys[2]] is not None)
            return None
        if facts.tries >= MAX_TRIES:
            try_to_commit(self._metadata, Replace(given_up(facts, now)))
            return None
        if facts.task == MATCH and not use.is_in_use(facts.repository, facts.id):
            try_to_commit(self._metadata, Replace(replace(facts, claim="", tries=0, next=now + MATCH_INTERVAL)))
            return None
        has_documents = all(found[key] is not None for key in keys[3:])
        tries = facts.tries + 1
        claimed = replace(facts, claim=new_nonce(), tries=tries, next=now + LEASE, compare_again=False)
        if not try_to_commit(self._metadata, Replace(claimed)):
            return None
        contents = self._contents(manifest)
        # Read after the claim: what is pushed later finds it, and makes another comparison due.
        signed = self._signed.read(facts.repository, facts.id, (facts.report, facts.sbom)) if self._signed else None
        return Claim(
            repository=facts.repository,
            digest=facts.id,
            nonce=claimed.claim,
            task=facts.task,
            until=claimed.next,
            config=contents.config,
            layers=self._layers(facts.repository, contents, extractor),
            data=data_of(facts),
            missing=facts.missing,
            fingerprint=facts.fingerprint if has_documents and facts.extractor == extractor else "",
            signed=signed.documents if signed else (),
            notes=signed.notes if signed else (),
            remarks=signed.remarks if signed else (),
        )

    def _put_off_deleted(self, facts: Facts, now: datetime, *, is_restorable: bool) -> None:
        """Put off an image that was deleted; drop the facts about one that nothing can restore."""
        wait = MATCH_INTERVAL if facts.task == MATCH else DELETED_WAIT
        put_off = Replace(replace(facts, claim="", tries=0, next=now + wait))
        try_to_commit(self._metadata, put_off if is_restorable else Delete(facts))

    def _contents(self, manifest: Manifest) -> ManifestContents:
        """Return what a manifest contains; nothing if it cannot be read: the scanner then has no config to read."""
        try:
            return read_contents(self._manifests.content(manifest), manifest.media_type)
        except (RegistryError, ObjectNotFound, Corrupt):
            return ManifestContents(None, (), (), {})

    def _layers(self, repository: str, contents: ManifestContents, extractor: int) -> Sequence[ClaimedLayer]:
        """Return the layers, with the packages of those that were read, in bounded memory.

        A manifest may name a layer that its repository lacks: what others have read of it is not for its readers.
        """
        keys = [Key(LayerScan, digest) for digest in dict.fromkeys(layer.digest for layer in contents.layers)]
        links = {key: Key(Link, key.id, repository) for key in keys}
        listed = self._metadata.read([*keys, *links.values()], content=False) if keys else None
        wanted, size = [], 0
        for key in keys:
            scan = listed[key] if listed and listed[links[key]] is not None else None
            if scan is not None and scan.extractor == extractor and size + scan.size <= MAX_PACKAGES_SIZE:
                wanted.append(key)
                size += scan.size
        found = self._metadata.read(wanted) if wanted else None
        packages = {key.id: scan.content for key in wanted if found and (scan := found[key]) is not None}
        return tuple(
            ClaimedLayer(
                digest=each.digest, media_type=each.media_type, size=each.size, packages=packages.get(each.digest)
            )
            for each in contents.layers
        )


def given_up(facts: Facts, now: datetime) -> Facts:
    """Return the facts about an image after the last try, which did not finish.

    A comparison leaves the result before as it is, with the reason, and is tried again the next day.
    """
    reason = f"the scanner did not finish {MAX_TRIES} times; last: {facts.reason or 'it ended without a result'}"
    if facts.task == MATCH:
        return replace(facts, claim="", tries=0, next=now + MATCH_INTERVAL, reason=reason)
    return replace(facts, state=FAILED, task="", claim="", tries=0, reason=reason, at=now)


def data_of(facts: Facts) -> dict[str, str]:
    """Return the versions of the data that a result was based on, by ecosystem."""
    return {name: version for name, _, version in (each.partition("=") for each in facts.data)}


def _keys(facts: Facts) -> list[Key[Any]]:
    """Return the keys that decide a claim: facts, image, tombstone, and the documents that are attached."""
    kinds: tuple[type[Facts | Manifest | DeletedManifest], ...] = (Facts, Manifest, DeletedManifest)
    documents = [Key(Manifest, digest, facts.repository) for digest in (facts.sbom, facts.report) if digest]
    return [*(Key(kind, facts.id, facts.repository) for kind in kinds), *documents]
