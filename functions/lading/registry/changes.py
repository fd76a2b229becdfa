"""What one request changed, as the code that changed it reports it: never as the request asks for it."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "manifest-pushed",
    "manifest-deleted",
    "tag-deleted",
    "blob-pushed",
    "blob-mounted",
    "blob-deleted",
    "upload-started",
    "upload-appended",
    "upload-cancelled",
]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a repository.

    kind     what was done
    digest   of the manifest or blob, or "" where there is none yet, or where only a tag is concerned
    tags     all tags that name the manifest because of it, or that were deleted
    also     digests of further manifests that were deleted: what referred to the one of `digest`
    session  the id of the upload session, or ""
    source   the repository that a blob was mounted from, or "" where the client named none
    """

    kind: Kind
    digest: str = ""
    tags: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    session: str = ""
    source: str = ""
