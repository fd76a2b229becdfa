"""Who refers to a manifest: by its subject, or by a tag made of the digest, as cosign and older clients do.

A tag alone proves nothing: anyone who may push can name any manifest so. It attaches a manifest to its subject only
where the manifest says so itself, or was created by the very push that gave it the tag (`attaches`).

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
"""Media types of the layers that cosign 1, 2 and 3 put under its tags (pkg/types/media.go, payload.go, SBOM_SPEC.md).

Its manifests have the config of an image. cosign's bundles, notation and oras name a `subject` instead.
"""

TAG_SUFFIXES: Final = ("", *COSIGN_MEDIA_TYPES)
"""Of such tags: the schema of the distribution-spec has none, cosign's signatures, attestations and SBOMs have one."""

NOT_ATTACHED: Final = "none"
OWN_TAG: Final = "tag"
OWN_TAG_AND_DIGEST: Final = "tag-and-digest"
"""The `attachment` of a manifest that no tag attaches to another one; the second where a tag of its own created it, and
the third where it was pushed by digest alone after that."""

_NOT_IN_TAGS: Final = re.compile(r"[^a-zA-Z0-9._-]")
_TAG: Final = re.compile(r"(?:sha256|sha512)-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?")


def referrer_tags_of(digest: str) -> list[str]:
    """The tags whose manifests can refer to the manifest `digest`."""
    algorithm, _, encoded = digest.partition(":")
    # The schema truncates both, and replaces what no tag can hold.
    name = _NOT_IN_TAGS.sub("-", f"{algorithm[:32]}-{encoded[:64]}")
    return [f"{name}{suffix}" for suffix in TAG_SUFFIXES]


def is_referrer_tag(tag: str) -> bool:
    """Whether a tag is made of a digest, so that its manifest can refer to another one, be that there or not."""
    return _TAG.fullmatch(tag) is not None


def cosign_suffix(media_types: Sequence[str]) -> str:
    """Return the suffix of the tags under which cosign puts layers of these media types, or ""."""
    kinds = (suffix for suffix, contents in COSIGN_MEDIA_TYPES.items() if contents.issuperset(media_types))
    return next(kinds, "") if media_types else ""


def attachment_of(suffix: str, tags: Sequence[str]) -> str:
    """Return the `attachment` of a manifest that is created by a push.

    Args:
        suffix: what its layers are (`kind_of`).
        tags: those that the same push gives it.
    """
    return next(filter(is_referrer_tag, tags), suffix or (OWN_TAG if tags else NOT_ATTACHED))


def attachment_after(before: str, pushed: str) -> str:
    """Return the `attachment` of a manifest that is pushed again.

    Where only the tag of its creation attached it, and another push names it otherwise or by digest alone, it no longer
    belongs to that tag's subject only. One that was created under a tag and is pushed by digest alone is pulled by
    either from then on.

    Args:
        before: what is on record.
        pushed: what it would be if this push created it.
    """
    if before == OWN_TAG and pushed == NOT_ATTACHED:
        return OWN_TAG_AND_DIGEST
    return NOT_ATTACHED if is_referrer_tag(before) and pushed != before and pushed not in COSIGN_MEDIA_TYPES else before


def is_pushed_for_tags(attachment: str) -> bool:
    """Return whether each push of a manifest gave it a tag, by its attachment; False where that is unknown."""
    return attachment not in ("", NOT_ATTACHED, OWN_TAG_AND_DIGEST)


def attaches(tag: str, subject: str, attachment: str) -> bool:
    """Return whether a tag attaches the manifest that it names to the one that the tag is made of.

    Args:
        tag: any tag of the manifest.
        subject: the manifest's own, which alone counts where there is one.
        attachment: see Manifest.attachment; "", which is unknown, attaches nothing.
    """
    if subject or not is_referrer_tag(tag):
        return False
    _, dot, kind = tag.partition(".")
    return attachment == tag or (bool(dot) and attachment == f".{kind}")
