"""PutGate: what policies say about a manifest that is put, by what is known of it at that moment.

media types, size    of the manifest itself, and of the links that the put has read
labels               annotations of the manifest, or labels of its config, which is read where a policy asks
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lading.policies.denial import audit_line, denial_detail, denial_line
from lading.policies.evaluate import exemption_of
from lading.policies.evidence import ALLOWED, AUDITED, DENIED, EXEMPTED, Decision, Outcome
from lading.policies.policy import matches_any
from lading.registry.change_context import ChangeContext
from lading.registry.content.manifest_contents import ManifestContents, is_image, read_contents, texts
from lading.registry.errors import denied_by_policy
from lading.registry.policies.decision_log import DecisionLog
from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.protocols import Found
from lading_storage.records.core import Key, Link, Manifest

if TYPE_CHECKING:
    from lading.policies.policy import Policy, PushRequirement

MAX_CONFIG: Final = 1024 * 1024
"""Bytes of a config whose labels are read."""

Read = Callable[[str, int, int], Iterator[bytes]]
"""Returns the bytes of an object between two positions, as BlobStore.open does."""


class PutGate:
    """The gate of puts of one registry. Thread-safe."""

    def __init__(self, read: Read, log: DecisionLog) -> None:
        """Read configs by `read`, and record decisions in `log`."""
        self._read = read
        self._log = log

    def check(self, policies: "tuple[Policy, ...]", manifest: Manifest, found: Found, context: ChangeContext) -> None:
        """Check a manifest that is put. Raises RegistryError: DENIED; StorageError.

        Args:
            policies: that name the repository.
            manifest: with its content.
            found: with the records of what it needs.
            context: of the put.
        """
        judged = tuple(each for each in policies if each.push is not None)
        if not judged:
            return
        contents = read_contents(manifest.content or b"", manifest.media_type)
        decisions = tuple(self._decision(each, _Put(manifest, contents, found), context.actor) for each in judged)
        self._log.record_decisions(judged, manifest, decisions, context)
        context.warn("", audit_line(decisions, "", advice=""))
        if any(each.refuses for each in decisions):
            # Nothing is stored about which `lading why` could be asked.
            raise denied_by_policy(denial_line(decisions, "", advice=""), denial_detail(decisions))

    def _decision(self, policy: "Policy", put: "_Put", principal: str) -> Decision:
        assert policy.push is not None
        reasons = tuple(self._reasons(policy.push, put))
        if not reasons:
            return Decision(policy=policy.name, outcome=ALLOWED)
        exemption = exemption_of(policy, principal)
        outcome: Outcome = EXEMPTED if exemption else DENIED if policy.enforces else AUDITED
        return Decision(policy=policy.name, outcome=outcome, reasons=reasons, exemption=exemption)

    def _reasons(self, requirement: "PushRequirement", put: "_Put") -> Iterator[str]:
        """Yield why a manifest does not fulfil a requirement."""
        types = requirement.media_types
        if types and (other := [each for each in put.media_types if not matches_any(types, each)]):
            yield f"the media type {other[0] or 'none'} is not allowed"
        if requirement.maximum_size is not None and put.size > requirement.maximum_size:
            yield f"its blobs have {put.size} bytes, more than {requirement.maximum_size}"
        if requirement.required_labels and is_image(put.contents):
            missing = set(requirement.required_labels) - put.contents.annotations.keys()
            if missing and (absent := sorted(missing - self._labels(put).keys())):
                yield f"it has no label {', '.join(absent)}"

    def _labels(self, put: "_Put") -> dict[str, str]:
        """Return the labels of an image's config; none where it cannot be read."""
        link = put.link(put.contents.config.digest) if put.contents.config else None
        if link is None or link.size > MAX_CONFIG:
            return {}
        try:
            fields: Any = json.loads(b"".join(self._read(link.object, 0, link.size)))
        except (ObjectNotFound, Corrupt, ValueError, RecursionError):
            return {}
        config = fields.get("config") if isinstance(fields, dict) else None
        return texts(config.get("Labels")) if isinstance(config, dict) else {}


@dataclass(frozen=True, slots=True)
class _Put:
    """A manifest that is put, its parts, and the records of what it needs."""

    manifest: Manifest
    contents: ManifestContents
    found: Found

    @property
    def media_types(self) -> list[str]:
        """The media types of the manifest, its config and its layers."""
        config = [self.contents.config.media_type] if self.contents.config else []
        return [self.manifest.media_type, *config, *(each.media_type for each in self.contents.layers)]

    @property
    def size(self) -> int:
        """The bytes of the blobs that are stored; where one may be missing, as the manifest says."""
        return sum(
            link.size if (link := self.link(digest)) else self.contents.blobs.get(digest, 0)
            for digest in self.manifest.blobs
        )

    def link(self, digest: str) -> Link | None:
        """Return the link of a blob, or None if it is hidden or missing."""
        return self.found[Key(Link, digest, self.manifest.repository)]
