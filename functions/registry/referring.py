"""Who refers to a manifest: by its subject, or by a tag made of the digest, as cosign and older clients do.

distribution-spec, "Referrers Tag Schema"; https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
"""

import re
from typing import Final

SUFFIXES: Final = ("", ".sig", ".att", ".sbom")
"""Of such tags: the schema of the distribution-spec has none, cosign's signatures, attestations and SBOMs have one."""

_TAG: Final = re.compile(r"(sha256|sha512)-([0-9a-f]{64}|[0-9a-f]{128})(?:\.(?:sig|att|sbom))?")


def tags_of(digest: str) -> list[str]:
    """The tags whose manifests refer to the manifest `digest`."""
    algorithm, _, hexadecimal = digest.partition(":")
    # A tag has at most 128 characters, so the schema cuts longer ones.
    return [f"{algorithm}-{hexadecimal}"[:128] + suffix for suffix in SUFFIXES if len(hexadecimal) <= 64 or not suffix]


def subject_of(tag: str) -> str:
    """The digest that a tag is made of, or "" for any other tag."""
    found = _TAG.fullmatch(tag)
    return f"{found[1]}:{found[2]}" if found else ""
