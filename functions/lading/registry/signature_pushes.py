"""The push of a signature verifies its subject, so that listings are current before the next pull."""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lading.leader import step_down
from lading.registry.errors import RegistryError
from lading.registry.policies.policy_cache import PolicyCache
from lading.registry.trust_records import trust_keys
from lading_storage.protocols import Found, MetadataStore
from lading_storage.records.core import Manifest

if TYPE_CHECKING:
    from lading.registry.trust.verifier import Verifier

log = logging.getLogger("lading")


class SignaturePushes:
    """What follows the pushes of signatures in one registry."""

    def __init__(self, metadata: MetadataStore, policies: PolicyCache, verifier: "Callable[[], Verifier]") -> None:
        """Verify by what `verifier` returns, where `policies` name signers."""
        self._metadata = metadata
        self._policies = policies
        self._verifier = verifier

    def __call__(self, manifest: Manifest, tags: Sequence[str]) -> None:
        """Verify the subjects of a manifest that was just pushed, under some tags; nothing for what is no signature.

        Never raises: a failure must not fail the push, and the next pull verifies.
        """
        keys = trust_keys(manifest.repository, [manifest], tags)
        if not keys:
            return
        step_down()
        for key in keys:
            try:
                self._verify(key.repository, key.id, manifest.digest if manifest.subject == key.id else "")
            except RegistryError:
                # The subject is not pushed yet: cosign and oras can copy signatures first.
                log.debug("%s@%s has a signature, and is not there", key.repository, key.id)
            except Exception as error:
                log.warning("the signatures of %s@%s are not verified yet: %s", key.repository, key.id, error)

    def _verify(self, repository: str, digest: str, pushed: str) -> None:
        read = self._policies.begin(repository)
        policies = read.of(self._metadata.read(read.keys) if read.keys else Found({}))
        if not policies:
            return
        from lading.registry.policies.anchors import anchors_of, needs_signatures

        if signing := tuple(each for each in policies if needs_signatures(each)):
            self._verifier().trust_of(repository, digest, anchors_of(signing), pushed)
