"""Who refers to a manifest: by its subject, or by a tag made of the digest, as cosign and older clients do.

distribution-spec, "Referrers Tag Schema"; https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
"""

import re
from typing import Final

SUFFIXES: Final = ("", ".sig", ".att", ".sbom")
"""Of such tags: the schema of the distribution-spec has none, cosign's signatures, attestations and SBOMs have one."""

_TAG: Final = re.compile(r"(?:sha256|sha512)-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?")


def tags_of(digest: str) -> list[str]:
    """The tags whose manifests refer to the manifest `digest`."""
    algorithm, _, encoded = digest.partition(":")
    # The schema wants 64 characters of a digest, and no more.
    return [f"{algorithm}-{encoded[:64]}{suffix}" for suffix in SUFFIXES]


def refers(tag: str) -> bool:
    """Whether a tag lets its manifest refer to another one, be that there or not."""
    return _TAG.fullmatch(tag) is not None
