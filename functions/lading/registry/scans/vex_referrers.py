"""VEX documents among the referrers of an image: those that a key of the configuration signed, about this image.

    referrers, newest first ──by type and annotation──▶ envelopes ──dsse.verify──▶ documents, for the claim
                                                                        └────────▶ remarks: why others do not count

Who may push can attach anything. What is not signed is a referrer like any other, and decides nothing: not even whether
the result is partial. cosign 3 attaches a bundle of Sigstore by `subject`; cosign 1 and 2, and vexctl, put envelopes
under the tag `sha256-….att` (https://github.com/sigstore/cosign/blob/main/specs/ATTESTATION_SPEC.md).
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lading.registry.content.blobs import Blobs
from lading.registry.content.image_facts import ATTESTATION_TYPES, attestation_tag
from lading.registry.content.manifest_contents import texts
from lading.registry.content.manifests import Manifests
from lading.registry.errors import RegistryError
from lading.registry.names import check_digest
from lading.registry.scans.claim import VexDocument
from lading.signatures.dsse import verify
from lading.signatures.public_keys import PublicKey
from lading.signatures.signature import NotVerified
from lading.vulnerabilities.openvex import PREDICATE
from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.protocols import MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Key, Manifest, Tag

MAX_REFERRERS: Final = 1_000
"""Referrers of an image that are listed."""

MAX_ATTESTATIONS: Final = 50
"""Manifests, and envelopes in them, that are read: the newest ones."""

MAX_MANIFEST: Final = 256 * 1024
MAX_ENVELOPE: Final = 1024 * 1024
MAX_DOCUMENTS_SIZE: Final = 4 * 1024 * 1024
"""Bytes of a manifest, of an envelope, and of all documents of an image."""

ANNOTATIONS: Final = ("predicateType", "dev.sigstore.bundle.predicateType", "in-toto.io/predicate-type")
"""Where cosign 2, cosign 3 and BuildKit name the type of the predicate."""


@dataclass(frozen=True, slots=True)
class Vex:
    """What the referrers of an image say.

    Attributes:
        documents: the verified ones.
        remarks: sentences for people about those that do not count.
    """

    documents: Sequence[VexDocument]
    remarks: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Envelope:
    """A blob that may be a signed statement, and the type of predicate that annotations name, or ""."""

    digest: str
    size: int
    predicate_type: str

    @property
    def noun(self) -> str:
        return "VEX document" if self.predicate_type else "attestation"


class VexReferrers:
    """VEX documents of the images of one registry."""

    def __init__(
        self, metadata: MetadataStore, manifests: Manifests, blobs: Blobs, keys: Mapping[str, PublicKey]
    ) -> None:
        """Read referrers, and verify them with `keys`."""
        self._metadata = metadata
        self._manifests = manifests
        self._blobs = blobs
        self._keys = keys

    def read(self, repository: str, digest: str) -> Vex:
        """Return the VEX documents of an image, the newest first.

        This takes a query and a read, and a read and an object for each envelope that may be VEX.
        """
        manifests, omitted = self._newest(repository, digest)
        envelopes = [each for manifest in manifests for each in self._envelopes(manifest)]
        documents: list[VexDocument] = []
        reasons = Counter[tuple[str, str]]()
        size = 0
        for each in envelopes[:MAX_ATTESTATIONS]:
            try:
                document = self._verified(repository, digest, each)
            except NotVerified as error:
                reasons[each.noun, str(error)] += 1
                continue
            if document is not None and size + len(document.content) > MAX_DOCUMENTS_SIZE:
                reasons["VEX document", f"the newer ones have {MAX_DOCUMENTS_SIZE >> 20} MiB"] += 1
            elif document is not None:
                documents.append(document)
                size += len(document.content)
        remarks = [_remark(number, noun, reason) for (noun, reason), number in sorted(reasons.items())]
        if omitted or len(envelopes) > MAX_ATTESTATIONS:
            remarks.append(f"only the {MAX_ATTESTATIONS} newest attestations were read")
        return Vex(tuple(documents), tuple(remarks))

    def _newest(self, repository: str, digest: str) -> tuple[list[Manifest | Tag], int]:
        """Return the newest manifests that may have envelopes, and the number of those that are left out."""
        query = Query(Manifest, {"subject": digest}, repository=repository, limit=MAX_REFERRERS)
        listed = [each for each in self._metadata.find(query) if each.artifact_type in ATTESTATION_TYPES]
        listed.sort(key=lambda each: (each.created, each.id), reverse=True)
        wanted = [each.key for each in listed[:MAX_ATTESTATIONS] if each.size <= MAX_MANIFEST]
        tag = Key(Tag, attestation_tag(digest), repository)
        found = self._metadata.read([tag, *wanted])
        tagged = found[tag]
        manifests: list[Manifest | Tag] = [each for key in wanted if (each := found[key]) is not None]
        if tagged is not None and tagged.size <= MAX_MANIFEST:
            manifests.insert(0, tagged)
        return manifests, len(listed) - len(wanted)

    def _envelopes(self, manifest: Manifest | Tag) -> Iterator[_Envelope]:
        """Yield the envelopes of a manifest that may be VEX: cosign appends new ones, so the last is the newest."""
        try:
            fields = json.loads(self._manifests.content(manifest))
            layers = [each for each in fields["layers"] if isinstance(each, dict)]
        except (RegistryError, ObjectNotFound, Corrupt, ValueError, LookupError, TypeError, RecursionError):
            return
        for layer in reversed(layers):
            named = texts(fields.get("annotations")) | texts(layer.get("annotations"))
            predicate_type = next((named[each] for each in ANNOTATIONS if each in named), "")
            if predicate_type.startswith(PREDICATE) or (not predicate_type and _is_attestation(layer)):
                digest, size = layer.get("digest"), layer.get("size")
                if isinstance(digest, str) and isinstance(size, int):
                    yield _Envelope(digest, size, predicate_type)

    def _verified(self, repository: str, digest: str, envelope: _Envelope) -> VexDocument | None:
        """Return the document of an envelope, or None if it is a signed statement of another kind.

        Raises:
            NotVerified: it does not count.
        """
        statement = verify(self._content(repository, envelope), self._keys, digest)
        if not statement.predicate_type.startswith(PREDICATE):
            return None
        content = json.dumps(statement.predicate, separators=(",", ":")).encode()
        return VexDocument(digest=envelope.digest, key=statement.key, content=content)

    def _content(self, repository: str, envelope: _Envelope) -> bytes:
        """Return the bytes of an envelope. Raises NotVerified if there are none, or too many."""
        if envelope.size > MAX_ENVELOPE:
            raise NotVerified(f"it has more than {MAX_ENVELOPE >> 20} MiB")
        try:
            check_digest(envelope.digest)
            link = self._blobs.get(repository, envelope.digest)
            if link.size > MAX_ENVELOPE:
                raise NotVerified(f"it has more than {MAX_ENVELOPE >> 20} MiB")
            return b"".join(self._blobs.open(link, 0, link.size))
        except (RegistryError, ObjectNotFound, Corrupt):
            raise NotVerified("its bytes are missing or damaged") from None


def _is_attestation(layer: Mapping[str, Any]) -> bool:
    media_type = layer.get("mediaType")
    return isinstance(media_type, str) and media_type.lower() in ATTESTATION_TYPES


def _remark(number: int, noun: str, reason: str) -> str:
    return f"1 {noun} does not count: {reason}" if number == 1 else f"{number} {noun}s do not count: {reason}"
