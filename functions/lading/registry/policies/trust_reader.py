"""TrustReader: what signatures of a manifest say to the policies of one decision, verified now if need be."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from lading.leader import step_down
from lading.registry.policies.anchors import anchors_of, fingerprints_of
from lading.registry.trust.trust_contents import is_current, signatures_of
from lading_storage.records.core import Key, Record
from lading_storage.records.trust import Trust

if TYPE_CHECKING:
    from lading.policies.policy import Policy
    from lading.registry.trust.verifier import Verifier
    from lading.signatures.signature import Signature


class TrustReader:
    """Reads trust for one decision.

    records      the trust that was used, as it was read
    is_verified  whether some was verified, so that the store has a newer one
    """

    def __init__(self, verifier: "Callable[[], Verifier]", policies: "tuple[Policy, ...]", now: datetime) -> None:
        """Let signatures of the signers of `policies` be verified by what `verifier` returns."""
        self._verifier = verifier
        self._policies = policies
        self._now = now
        self.records: list[Record] = []
        self.is_verified = False

    def trust(self, trust: Trust | None, key: Key[Trust]) -> Trust:
        """Return trust that says all about the signers.

        Args:
            trust: the record of `key`, or None if there is none.
            key: of the trust.

        Raises:
            RegistryError: MANIFEST_UNKNOWN if the manifest was deleted meanwhile.
            StorageError: a store failed.
            ValueError: a key of a policy cannot be used.
        """
        if trust is None or not is_current(trust, fingerprints_of(self._policies), self._now):
            # It reads signatures, and may import cryptography.
            step_down()
            trust = self._verifier().trust_of(key.repository, key.id, anchors_of(self._policies))
            self.is_verified = True
        self.records.append(trust)
        return trust

    def signatures(self, trust: Trust | None, key: Key[Trust]) -> "tuple[Signature, ...]":
        """Return the signatures that hold. See `trust`."""
        return tuple(each.signature for each in signatures_of(self.trust(trust, key), self._now))
