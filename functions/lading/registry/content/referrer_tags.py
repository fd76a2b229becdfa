"""Referrer tags: tags derived from a digest, by which cosign and older clients attach a manifest to its subject.

A tag alone proves nothing: any client that may push can give such a tag to any manifest. The tag attaches a manifest to
its subject only if the content of the manifest says so, or the push that created the manifest gave it the tag
(`attaches`).

distribution-spec, "Referrers Tag Schema"; https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

COSIGN_MEDIA_TYPES: Final[Mapping[str, frozenset[str]]] = {
    ".sig": frozenset({"application/vnd.dev.cosign.simplesigning.v1+json"}),
    ".att": frozenset({"application/vnd.dsse.envelope.v1+json"}),
    ".sbom": frozenset(
        {
            *("text/spdx", "text/spdx+json", "text/spdx+xml", "application/spdx+json"),
            *("application/vnd.cyclonedx", "application/vnd.cyclonedx+json", "application/vnd.cyclonedx+xml"),
            "application/vnd.syft+json",
        }
    ),
}
"""Media types of the layers that cosign 1, 2 and 3 push under such tags (pkg/types/media.go, payload.go, SBOM_SPEC.md).

These manifests have the config of an image. Cosign's bundles, notation and oras set a `subject` instead.
"""

TAG_SUFFIXES: Final = ("", *COSIGN_MEDIA_TYPES)
"""Suffixes of referrer tags: none in the distribution-spec; cosign's signatures, attestations and SBOMs have one."""

NOT_ATTACHED: Final = "none"
OWN_TAG: Final = "tag"
OWN_TAG_AND_DIGEST: Final = "tag-and-digest"
"""Values of Manifest.attachment for a manifest that no tag attaches to another one: created without a tag; created with
a tag of its own; created so, and later pushed by digest alone."""

_NOT_IN_TAGS: Final = re.compile(r"[^a-zA-Z0-9._-]")
_TAG: Final = re.compile(r"(?:sha256|sha512)-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?")


def referrer_tags_of(digest: str) -> list[str]:
    """Return the referrer tags of a digest: those whose manifests can refer to the manifest `digest`."""
    algorithm, _, encoded = digest.partition(":")
    # The schema truncates both parts, and replaces characters that a tag cannot have.
    name = _NOT_IN_TAGS.sub("-", f"{algorithm[:32]}-{encoded[:64]}")
    return [f"{name}{suffix}" for suffix in TAG_SUFFIXES]


def is_referrer_tag(tag: str) -> bool:
    """Return whether a tag is derived from a digest, so that its manifest can refer to another one, existing or not."""
    return _TAG.fullmatch(tag) is not None


def cosign_suffix(media_types: Sequence[str]) -> str:
    """Return the suffix of the tags under which cosign pushes layers of these media types, or ""."""
    suffixes = (suffix for suffix, known in COSIGN_MEDIA_TYPES.items() if known.issuperset(media_types))
    return next(suffixes, "") if media_types else ""


def attachment_of(suffix: str, tags: Sequence[str]) -> str:
    """Return the `attachment` of a manifest that a push creates.

    Args:
        suffix: the suffix that fits its layers (`cosign_suffix`).
        tags: the tags that the same push gives it.
    """
    return next(filter(is_referrer_tag, tags), suffix or (OWN_TAG if tags else NOT_ATTACHED))


def attachment_after(before: str, pushed: str) -> str:
    """Return the `attachment` of a manifest that is pushed again.

    If only the tag of its creation attached it, a push under another tag or by digest alone ends that: it no longer
    belongs to the tag's subject alone. A manifest that was created under a tag and is pushed by digest alone can be
    pulled by either from then on.

    Args:
        before: the value on record.
        pushed: the value if this push created the manifest.
    """
    if before == OWN_TAG and pushed == NOT_ATTACHED:
        return OWN_TAG_AND_DIGEST
    return NOT_ATTACHED if is_referrer_tag(before) and pushed != before and pushed not in COSIGN_MEDIA_TYPES else before


def is_pushed_for_tags(attachment: str) -> bool:
    """Return whether every push of a manifest gave it a tag, judging by its attachment; False if that is unknown."""
    return attachment not in ("", NOT_ATTACHED, OWN_TAG_AND_DIGEST)


def attaches(tag: str, subject: str, attachment: str) -> bool:
    """Return whether a tag attaches its manifest to the manifest whose digest the tag is derived from.

    Args:
        tag: any tag of the manifest.
        subject: the manifest's `subject`; if it is not "", only that counts.
        attachment: see Manifest.attachment; "" is unknown, and attaches nothing.
    """
    if subject or not is_referrer_tag(tag):
        return False
    _, dot, suffix = tag.partition(".")
    return attachment == tag or (bool(dot) and attachment == f".{suffix}")
