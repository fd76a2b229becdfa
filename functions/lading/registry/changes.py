"""Changes that one request made, reported by the code that made them, never derived from the request."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "manifest-pushed",
    "manifest-deleted",
    "tag-set",
    "tag-rolled-back",
    "tag-deleted",
    "tag-restored",
    "manifest-restored",
    "repository-deleted",
    "repository-restored",
    "blob-pushed",
    "blob-mounted",
    "blob-deleted",
    "upload-started",
    "upload-appended",
    "upload-cancelled",
    "rules-changed",
    "webhook-added",
    "webhook-changed",
    "webhook-removed",
    "webhook-tested",
    "webhook-retried",
    "events-replayed",
    "scan-requested",
    "image-scanned",
    "vulnerabilities-updated",
    "exception-opened",
    "exception-closed",
]


@dataclass(frozen=True, slots=True)
class Change:
    """One change in a repository.

    kind     the kind of change
    digest   digest of the manifest or blob; "" if there is none yet, or if only a tag changed
    tags     all tags that point to the manifest because of the change, or that were deleted
    also     digests of further manifests deleted with it: its referrers; or of all images whose scans were requested;
             or of those that an exception is for
    session  id of the upload session, or ""
    source   repository that a blob was mounted from, or "" if the client named none
    reason   why, in the words of who made the change, or ""
    """

    kind: Kind
    digest: str = ""
    tags: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    session: str = ""
    source: str = ""
    reason: str = ""
