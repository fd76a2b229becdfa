"""Summaries of signatures: what listings show of the trust in manifests. Nothing is verified for them.

They are read with what a listing reads anyway. Only the first listing of a process, and one after POLICY_TTL, may take
one read more, where policies turn out to name signers.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from lading.registry.details import SignatureDetails, SignatureSummary
from lading.registry.policies.policy_cache import PolicyCache
from lading_storage.errors import Unavailable
from lading_storage.protocols import Found, MetadataStore
from lading_storage.records.core import Key
from lading_storage.records.trust import Trust

if TYPE_CHECKING:
    from lading.policies.policy import Policy
    from lading.registry.trust.trust_contents import KeptSignature
    from lading.signatures.signature import Signature

SIGNED: Final = "signed"
UNSIGNED: Final = "unsigned"
UNVERIFIED: Final = "unverified"
"""States of a summary: a signer of a policy signed it; none did; or the next pull verifies it."""


class SignatureSummaries:
    """Summaries of some manifests of a repository."""

    def __init__(self, policies: PolicyCache, repository: str, digests: Iterable[str]) -> None:
        """Summarize these manifests, by the policies that name the repository."""
        self._read = policies.begin(repository)
        self._trust = {digest: Key(Trust, digest, repository) for digest in digests}
        self._found: Mapping[str, Trust | None] = {}
        self._policies: tuple[Policy, ...] | None = ()
        self._now = datetime.min

    @property
    def keys(self) -> Sequence[Key[Any]]:
        """The keys that are to be read with the listing."""
        try:
            return [*self._read.keys, *(self._trust.values() if self._read.names else ())]
        except Unavailable:
            return self._read.keys

    def add(self, metadata: MetadataStore, found: Found, now: datetime) -> None:
        """Take the records of `keys`. Where policies cannot be read, nothing is verified as far as is known."""
        self._now = now
        try:
            policies = self._read.of(found)
        except Unavailable:
            self._policies = None
            return
        if not policies:
            return
        from lading.registry.policies.anchors import needs_signatures

        self._policies = tuple(each for each in policies if needs_signatures(each))
        if self._policies and self._trust:
            keys = list(self._trust.values())
            trust = found if all(map(found.has_read, keys)) else metadata.read(keys)
            self._found = {digest: trust[key] for digest, key in self._trust.items()}

    def summary(self, digest: str) -> SignatureSummary | None:
        """Return the summary of a manifest; None where no policy that names its repository names signers."""
        if self._policies == ():
            return None
        if self._policies is None or not self._is_current(self._policies, digest):
            return SignatureSummary(UNVERIFIED)
        names = dict.fromkeys(name for each in self._signatures(digest) for name in self._names(each.signature))
        return SignatureSummary(SIGNED if names else UNSIGNED, tuple(names))

    def details(self, digest: str) -> tuple[SignatureDetails, ...]:
        """Return the signatures of a manifest that hold, the newest first."""
        if not self._policies or not self._is_current(self._policies, digest):
            return ()
        return tuple(
            SignatureDetails(
                signer=", ".join(self._names(each.signature)) or each.signature.signer,
                identity=each.signature.identity,
                issuer=each.signature.issuer,
                format=each.signature.format,
                digest=each.digest,
                attached=each.at,
                expires=each.signature.expires,
            )
            for each in self._signatures(digest)
        )

    def _is_current(self, policies: "tuple[Policy, ...]", digest: str) -> bool:
        from lading.registry.policies.anchors import fingerprints_of
        from lading.registry.trust.trust_contents import is_current

        return is_current(self._found.get(digest), fingerprints_of(policies), self._now)

    def _signatures(self, digest: str) -> "Sequence[KeptSignature]":
        from lading.registry.trust.trust_contents import signatures_of

        return signatures_of(self._found.get(digest), self._now)

    def _names(self, signature: "Signature") -> list[str]:
        """Return the names that policies give the signer of a signature; none if none of them names it."""
        requirements = [each for policy in self._policies or () for each in policy.signature_requirements()]
        signers = [signer for each in requirements for signer in each.signers]
        return list(dict.fromkeys(each.name for each in signers if each.signed(signature)))
