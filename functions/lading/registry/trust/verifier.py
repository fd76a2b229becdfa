"""Verifier: verifies the signatures of a manifest where its trust is stale, and keeps what came of it.

    trust_of ─▶ Trust, Manifest ──current?──▶ Trust                        one read
                      └─ no ─▶ signatures, verified ─▶ commit at the version of Trust that was read first

A change of a signature makes trust stale in its own commit (registry.trust_records), so a verification that has missed
it conflicts, and begins again. There is no queue and no job: what is not pulled is not verified.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from cachetools import TTLCache

from lading.leader import step_down
from lading.registry.change_context import Clock
from lading.registry.content.referrer_contents import ContentUnreadable, ReferrerContents, ReferrerLayer
from lading.registry.errors import MANIFEST_UNKNOWN, RegistryError
from lading.registry.retry import retry_on_conflict
from lading.registry.trust.signature_referrers import FoundCandidates, SignatureReferrers
from lading.registry.trust.trust_contents import (
    RETRY,
    VERIFIER,
    KeptSignature,
    chosen_signatures,
    encoded_exceptions,
    encoded_signatures,
    exceptions_of,
    holders_of,
    is_current,
)
from lading.signatures.attachments import AttachmentPart, attachment_parts, is_attachment
from lading.signatures.signature import Anchors, Candidate, VerificationResult
from lading.signatures.verify import verify
from lading_storage.protocols import Create, MetadataStore, Replace, Verify
from lading_storage.records.core import Key, Manifest
from lading_storage.records.trust import Trust

MAX_ATTACHMENT: Final = 256 * 1024
"""Bytes of a manifest that is examined as a signature or attestation itself."""

MAX_ATTACHMENT_SIZE: Final = 4 * 1024 * 1024
"""Bytes of its config and all its layers."""

MAX_REMARKS: Final = 10
MAX_REMARK: Final = 300
"""Remarks that are kept, and the characters of one."""

MAX_NAMES: Final = 1_000
"""Characters of all names of a signer: no policy names longer ones."""

LOCKS: Final = 32
"""Manifests that this process verifies at a time, at most: of concurrent pulls of one, the first verifies."""

READ_ONLY_TTL: Final = timedelta(seconds=30)
MAX_UNWRITTEN: Final = 1_000
"""How long a standby, which writes nothing, keeps what it verified, and of how many manifests."""

VerifyCandidate = Callable[[Candidate, Anchors, str, datetime], VerificationResult]


class Verifier:
    """Verifier of the signatures of one registry. Thread-safe."""

    def __init__(
        self,
        metadata: MetadataStore,
        contents: ReferrerContents,
        clock: Clock,
        *,
        writes: bool = True,
        verify_candidate: VerifyCandidate = verify,
    ) -> None:
        """Read from these, and write trust to `metadata`; without `writes`, keep it in memory for READ_ONLY_TTL."""
        self._metadata = metadata
        self._contents = contents
        self._referrers = SignatureReferrers(contents)
        self._clock = clock
        self._verify = verify_candidate
        # One for the cache of a standby.
        self._locks = tuple(threading.Lock() for _ in range(LOCKS if writes else 1))
        self._writes = writes
        self._unwritten: TTLCache[Key[Trust], Trust] = TTLCache(
            MAX_UNWRITTEN, READ_ONLY_TTL.total_seconds(), timer=lambda: clock().timestamp()
        )

    def read_only(self) -> "Verifier":
        """Return a verifier of the same signatures that keeps nothing in the store, for trials of policies."""
        return Verifier(self._metadata, self._contents, self._clock, writes=False, verify_candidate=self._verify)

    def unwritten(self, key: Key[Trust]) -> Trust | None:
        """Return the trust that a standby keeps in memory, or None."""
        if self._writes:
            return None
        with self._locks[0]:
            return self._unwritten.get(key)

    def trust_of(self, repository: str, digest: str, anchors: Anchors, pushed: str = "") -> Trust:
        """Return the trust in a manifest, verified with all of `anchors`, and perhaps with others.

        Args:
            repository: where the manifest is.
            digest: of the manifest.
            anchors: of the policies that name the repository.
            pushed: the digest of a signature that was just pushed: it is read, however many others there are.

        Raises:
            RegistryError: MANIFEST_UNKNOWN.
            Unavailable: the store fails.
        """
        step_down()
        with self._locks[hash((repository, digest)) % len(self._locks)]:
            return retry_on_conflict(lambda: self._attempt(repository, digest, anchors, pushed))

    def _attempt(self, repository: str, digest: str, anchors: Anchors, pushed: str) -> Trust:
        key, manifest_key = Key(Trust, digest, repository), Key(Manifest, digest, repository)
        found = self._metadata.read([key, manifest_key])
        trust, manifest, now = found[key], found[manifest_key], self._clock(found.read_at)
        trust = trust if self._writes else self._unwritten.get(key)
        if manifest is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"digest": digest})
        if trust is not None and is_current(trust, anchors.fingerprints, now) and not pushed:
            return trust
        verified = self._verified(manifest, anchors, trust, pushed, now)
        if not self._writes:
            self._unwritten[key] = verified
        elif trust is not None:
            self._metadata.commit([Replace(verified)])
        else:
            # Trust may have been created, and purged with the manifest, since it was read.
            self._metadata.commit([Create(verified), Verify(manifest_key, manifest.version)])
        return verified

    def _verified(
        self, manifest: Manifest, anchors: Anchors, before: Trust | None, pushed: str, now: datetime
    ) -> Trust:
        """Return the trust in a manifest as its signatures say, with the exceptions and the version of `before`."""
        found = FoundCandidates([])
        if anchors.fingerprints:
            first = [*([pushed] if pushed else []), *(before.holders if before else ())]
            found = self._referrers.read(manifest.repository, manifest.digest, list(dict.fromkeys(first)))
        signatures, reasons = self._signatures(found, manifest.digest, anchors, now)
        chosen, omitted = chosen_signatures(signatures, anchors.counts)
        attachment, is_whole = self._is_attachment(manifest)
        verified = Trust(
            id=manifest.digest,
            repository=manifest.repository,
            created=before.created if before else now,
            verified=now,
            verified_with=anchors.fingerprints,
            verifier=VERIFIER,
            retry=now + RETRY if found.may_return or not is_whole else None,
            signatures=encoded_signatures(chosen),
            holders=holders_of(chosen, anchors.counts, before.holders if before else ()),
            remarks=_remarks([*reasons, *found.unread], found.omitted + omitted),
            attachment=attachment,
            exceptions=encoded_exceptions(exceptions_of(before, now)),
        )
        return replace(verified, version=before.version) if before else verified

    def _signatures(
        self, found: FoundCandidates, digest: str, anchors: Anchors, now: datetime
    ) -> tuple[list[KeptSignature], list[str]]:
        """Return the signatures that hold, the newest first, and why others do not."""
        signatures: list[KeptSignature] = []
        reasons: list[str] = []
        for each in found.candidates:
            result = self._verify(each.candidate, anchors, digest, now)
            reasons += result.reasons
            for signature in result.signatures:
                if sum(map(len, (signature.identity, signature.issuer, *signature.names))) > MAX_NAMES:
                    reasons.append("the names of its signer are too long")
                else:
                    signatures.append(KeptSignature(signature, each.digest, each.at))
        return signatures, reasons

    def _is_attachment(self, manifest: Manifest) -> tuple[bool, bool]:
        """Return whether a manifest is a signature or an attestation itself, and whether all of it could be read."""
        if manifest.size > MAX_ATTACHMENT or manifest.content is None:
            return False, True
        parts = attachment_parts(manifest.content)
        if parts is None or parts.size > MAX_ATTACHMENT_SIZE:
            return False, True
        try:
            config, *contents = (self._content(manifest.repository, each) for each in (parts.config, *parts.layers))
        except ContentUnreadable as error:
            return False, not error.may_return
        return is_attachment(parts, config, contents), True

    def _content(self, repository: str, part: AttachmentPart) -> bytes:
        described = ReferrerLayer(part.media_type, part.digest, part.size)
        return self._contents.content(repository, described, MAX_ATTACHMENT_SIZE)


def _remarks(reasons: Iterable[str], omitted: int) -> tuple[str, ...]:
    """Return sentences about signatures that do not count."""
    counted = Counter(reasons)
    remarks = [_remark(number, reason)[:MAX_REMARK] for reason, number in sorted(counted.items())][:MAX_REMARKS]
    return (*remarks, *([f"{omitted} more were not read"] if omitted else []))


def _remark(number: int, reason: str) -> str:
    return f"1 signature does not count: {reason}" if number == 1 else f"{number} signatures do not count: {reason}"
