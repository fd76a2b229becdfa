"""Signed documents among the referrers of an image: VEX, SBOMs and reports that a key of the configuration signed.

    referrers, newest first ──by type and annotation──▶ envelopes ──dsse.verify──▶ documents, for the claim
                                                                        └────────▶ remarks: why others do not count

Who may push can attach anything. What is not signed is a referrer like any other, and decides nothing. Only where there
is so much of it that not all can be read, a result is partial: a report that counts may be among the rest. cosign 3
attaches a bundle of Sigstore by `subject`; cosign 1 and 2, and vexctl, put envelopes under the tag `sha256-….att`
(https://github.com/sigstore/cosign/blob/main/specs/ATTESTATION_SPEC.md).
"""

import json
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lading.registry.content.referrer_contents import ContentUnreadable, ReferrerContents, ReferrerLayer, Wanted
from lading.registry.document_changes import ATTESTATION_TYPES, attestation_tag
from lading.registry.scans.claim import SignedDocument
from lading.signatures.dsse import verify
from lading.signatures.signature import NotVerified
from lading.vulnerabilities import sboms
from lading.vulnerabilities.document_keys import VEX, DocumentKeys
from lading_storage.records.core import Manifest, Tag

MAX_ATTESTATIONS: Final = 50
"""Manifests, and envelopes in them, that are read: the newest ones."""

MAX_VEX: Final = 1024 * 1024
MAX_ENVELOPE: Final = 8 * 1024 * 1024
MAX_DOCUMENTS_SIZE: Final = 4 * 1024 * 1024
"""Bytes of an envelope of VEX and of another one, and of all documents of an image: of SBOMs what names packages."""

MAX_VALUES: Final = 5_000
"""Values of an envelope, by the brackets and commas before them: the payload is base64, so that real ones have some
hundred, and what is not verified yet takes little memory. 8 MiB of numbers or names would take 130 MiB."""

MAX_SECONDS: Final = 20.0
"""Seconds after which no further envelope of an image is read: each signature is tried with each key."""

ANNOTATIONS: Final = ("predicateType", "dev.sigstore.bundle.predicateType", "in-toto.io/predicate-type")
"""Where cosign 2, cosign 3 and BuildKit name the type of the predicate."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What the referrers of an image say.

    Attributes:
        documents: the verified ones.
        notes: sentences about those that may count, and were not read.
        remarks: sentences about those that do not count.
    """

    documents: Sequence[SignedDocument]
    notes: Sequence[str]
    remarks: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Envelope:
    """A blob that may be a signed statement, and the type of predicate that annotations name, or ""."""

    layer: ReferrerLayer
    predicate_type: str

    @property
    def max_size(self) -> int:
        return MAX_VEX if self.predicate_type.startswith(VEX) else MAX_ENVELOPE


class SignedReferrers:
    """Signed documents about the images of one registry."""

    def __init__(self, contents: ReferrerContents, keys: DocumentKeys) -> None:
        """Read `contents`, and verify them with `keys`."""
        self._contents = contents
        self._keys = keys
        self._by_fingerprint = keys.all

    @property
    def version(self) -> str:
        """What identifies the keys."""
        return self._keys.version

    def read(self, repository: str, digest: str, own: Collection[str] = ()) -> Signed:
        """Return the signed documents about an image, the newest first.

        This takes a query and a read, and a read and an object for each envelope that may count.

        Args:
            repository: where the image is.
            digest: of its manifest.
            own: the digests of the scanner's own documents, which are left out.
        """
        wanted = Wanted(ATTESTATION_TYPES, attestation_tag(digest), MAX_ATTESTATIONS, own)
        manifests, omitted = self._contents.newest(repository, digest, wanted)
        envelopes = _distinct(each for manifest in manifests for each in self._envelopes(manifest))
        reading = _Reading()
        deadline = time.monotonic() + MAX_SECONDS
        for number, each in enumerate(envelopes):
            if number >= MAX_ATTESTATIONS or time.monotonic() > deadline:
                omitted += len(envelopes) - number
                break
            try:
                if (document := self._verified(repository, digest, each)) is not None:
                    reading.add(document)
            except NotVerified as error:
                reading.reasons[_noun(each.predicate_type), str(error)] += 1
        remarks = [_remark(number, noun, reason) for (noun, reason), number in sorted(reading.reasons.items())]
        if omitted:
            what = f"{omitted} older attestation{'s were' if omitted > 1 else ' was'} not read"
            reading.notes += [f"{what}, which may be reports"] if self._keys.scans else []
            remarks += [] if self._keys.scans else [what]
        return Signed(tuple(reading.documents), tuple(reading.notes), tuple(remarks))

    def _envelopes(self, manifest: Manifest | Tag) -> Iterator[_Envelope]:
        """Yield the envelopes of a manifest that may count, the newest first."""
        try:
            layers = self._contents.layers(manifest)
        except ContentUnreadable:
            return
        for layer in layers:
            named = {**layer.inherited, **layer.annotations}
            predicate_type = next((named[each] for each in ANNOTATIONS if each in named), "")
            is_attestation = not predicate_type and layer.media_type in ATTESTATION_TYPES
            if predicate_type.startswith(self._keys.predicates) or is_attestation:
                yield _Envelope(layer, predicate_type)

    def _verified(self, repository: str, digest: str, envelope: _Envelope) -> SignedDocument | None:
        """Return the document of an envelope, or None if it is a signed statement of another kind.

        Raises:
            NotVerified: it does not count.
        """
        statement = verify(self._content(repository, envelope), self._by_fingerprint, digest)
        if not statement.predicate_type.startswith(self._keys.predicates):
            return None
        if not (key := self._keys.name(statement.key, statement.predicate_type)):
            raise NotVerified("its key is one for other documents")
        predicate = statement.predicate
        if statement.predicate_type.startswith(sboms.PREDICATES):
            predicate = sboms.essential(statement.predicate_type, predicate)
        content = json.dumps(predicate, separators=(",", ":")).encode()
        return SignedDocument(
            digest=envelope.layer.digest, key=key, predicate_type=statement.predicate_type, content=content
        )

    def _content(self, repository: str, envelope: _Envelope) -> bytes:
        """Return the bytes of an envelope. Raises NotVerified if there are none, or too many."""
        try:
            content = self._contents.content(repository, envelope.layer, envelope.max_size)
        except ContentUnreadable as error:
            raise NotVerified(str(error)) from None
        if sum(map(content.count, (b"{", b"[", b","))) > MAX_VALUES:
            raise NotVerified("it is not a signed statement")
        return content


def _distinct(envelopes: Iterable[_Envelope]) -> list[_Envelope]:
    """Return each envelope once, in their order, with the larger of the limits that its types have.

    Who may push can attach an envelope again, as one of VEX, or with a size that is wrong: that must not hide it.
    """
    found = dict[tuple[str, int], _Envelope]()
    for each in envelopes:
        known = found.setdefault((each.layer.digest, each.layer.size), each)
        if known.max_size < each.max_size:
            found[each.layer.digest, each.layer.size] = each
    return [*found.values()]


class _Reading:
    """What was read so far of the documents about one image."""

    def __init__(self) -> None:
        self.documents: list[SignedDocument] = []
        self.notes: list[str] = []
        self.reasons = Counter[tuple[str, str]]()
        self._size = 0

    def add(self, document: SignedDocument) -> None:
        """Add a verified document, unless there are too many."""
        noun = _noun(document.predicate_type)
        if self._size + len(document.content) <= MAX_DOCUMENTS_SIZE:
            self.documents.append(document)
            self._size += len(document.content)
        elif document.predicate_type.startswith(VEX):
            self.reasons[noun, f"the newer documents have {MAX_DOCUMENTS_SIZE >> 20} MiB"] += 1
        else:
            self.notes.append(
                f"the {noun} {document.digest}, signed by {document.key}, was not read: the newer documents have"
                f" {MAX_DOCUMENTS_SIZE >> 20} MiB"
            )


def _noun(predicate_type: str) -> str:
    """Return what to call a document."""
    if predicate_type.startswith(VEX):
        return "VEX document"
    if predicate_type.startswith(sboms.PREDICATES):
        return "SBOM"
    return "report" if predicate_type else "attestation"


def _remark(number: int, noun: str, reason: str) -> str:
    return f"1 {noun} does not count: {reason}" if number == 1 else f"{number} {noun}s do not count: {reason}"
