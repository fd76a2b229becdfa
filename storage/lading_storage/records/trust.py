"""Records of trust: what the registry itself verified about a manifest, for policies.

    repositories/{name}
        trust/{digest}            the signatures of one manifest that are valid, and the exceptions that people made

All but the exceptions is a cache of what the signatures in the repository say. Whatever changes which signatures a
manifest has makes its trust stale in the same commit (lading.registry.trust.trust_records), so that the next decision
verifies them again. Trust stays beside a tombstone, as facts do, and the purge of the tombstone deletes it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from lading_storage.records.core import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust(Record):
    """Trust in a manifest. The id is its digest; the manifest itself need not exist yet.

    Attributes:
        created: when the record was created.
        verified: when the signatures were verified, or None: the record is stale, and only its exceptions count.
        verified_with: the fingerprints of all keys, certificates and roots with which they were verified, sorted. A
            policy that has others needs another verification; one that has fewer does not.
        verifier: the number of the verification's code (lading.registry.trust.verifier), so that a newer one verifies
            again.
        retry: when signatures are verified again whose bytes could not be read, or None.
        signatures: those that are valid, as JSON: [{signer, identity, issuer, format, digest, at, expires}].
        holders: the digests of the manifests that hold them, but for signatures that no policy asks for. A stale record
            keeps them: they are verified before others, so that a signature that counts is not lost among many that
            anyone may push.
        remarks: why others do not count, for people.
        attachment: whether the manifest itself is a signature or an attestation, judged by its content.
        exceptions: live exceptions from policies, as JSON: [{policy, until, reason, by}]. Verification keeps them.
    """

    KIND: ClassVar[str] = "trust"
    NUMBER: ClassVar[int] = 27
    IN_REPOSITORY: ClassVar[bool] = True
    NOT_IN_BACKUP: ClassVar[str] = "a copy verifies signatures again, and an exception ends within a day"

    created: datetime
    verified: datetime | None = None
    verified_with: tuple[str, ...] = ()
    verifier: int = 0
    retry: datetime | None = None
    signatures: str = ""
    holders: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    attachment: bool = False
    exceptions: str = ""
