"""Every error that a client may be told of, a row each. Rules raise RegistryError; api.answers alone writes it out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lading_storage.records.core import Upload


class ErrorDescriptor(NamedTuple):
    """An error's code (distribution-spec, "Error Codes"), its HTTP status and its message."""

    code: str
    status: int
    message: str


BLOB_UNKNOWN = ErrorDescriptor("BLOB_UNKNOWN", 404, "blob unknown to registry")
BLOB_REFERENCED = ErrorDescriptor("UNSUPPORTED", 405, "a manifest names this blob; delete the manifest first")
UPLOAD_INVALID = ErrorDescriptor("BLOB_UPLOAD_INVALID", 400, "blob upload invalid")
UPLOAD_UNKNOWN = ErrorDescriptor("BLOB_UPLOAD_UNKNOWN", 404, "blob upload unknown to registry")
RANGE_INVALID = ErrorDescriptor("BLOB_UPLOAD_INVALID", 416, "the chunk does not begin where the upload ends")
RANGE_UNSATISFIABLE = ErrorDescriptor("UNSUPPORTED", 416, "the blob does not have this range")
SIZE_MISMATCH = ErrorDescriptor("SIZE_INVALID", 400, "the body is not as long as its headers say")
BODY_TRUNCATED = ErrorDescriptor("SIZE_INVALID", 400, "the connection ended before the last chunk of the body")
LENGTH_REQUIRED = ErrorDescriptor(
    "SIZE_INVALID", 411, "a body that no digest is checked against needs a Content-Length here"
)
BODY_TOO_LARGE = ErrorDescriptor(
    "SIZE_INVALID",
    413,
    "this registry is deployed as a function without HTTP/2, where a request's body ends at 32 MiB: deploy it with "
    "http2 = true, or push in chunks (regctl registry set HOST --blob-chunk 16777216 --blob-max 16777216)",
)
BODY_STALLED = ErrorDescriptor("BLOB_UPLOAD_INVALID", 408, "the body did not go on in time")
DIGEST_INVALID = ErrorDescriptor("DIGEST_INVALID", 400, "provided digest did not match uploaded content")
MANIFEST_BLOB_UNKNOWN = ErrorDescriptor(
    "MANIFEST_BLOB_UNKNOWN", 400, "manifest references a manifest or blob unknown to registry"
)
MANIFEST_INVALID = ErrorDescriptor("MANIFEST_INVALID", 400, "manifest invalid")
MANIFEST_REFERENCED = ErrorDescriptor("UNSUPPORTED", 405, "an index names this manifest; delete the index first")
MANIFEST_TOO_LARGE = ErrorDescriptor("SIZE_INVALID", 413, "manifest too large")
MANIFEST_UNKNOWN = ErrorDescriptor("MANIFEST_UNKNOWN", 404, "manifest unknown to registry")
NAME_INVALID = ErrorDescriptor("NAME_INVALID", 400, "invalid repository name")
NAME_UNKNOWN = ErrorDescriptor("NAME_UNKNOWN", 404, "repository name not known to registry")
TAG_INVALID = ErrorDescriptor("TAG_INVALID", 400, "invalid tag")
TAG_RESERVED = ErrorDescriptor(
    "TAG_INVALID", 400, "TAG.asof-TIME is what TAG was at a time: it is neither pushed nor deleted"
)
TAG_IMMUTABLE = ErrorDescriptor("DENIED", 409, "an immutable tag is neither moved nor deleted")
TAG_CONFLICT = ErrorDescriptor("DENIED", 409, "the tag names another manifest by now")
PRECONDITION_FAILED = ErrorDescriptor(
    "DENIED", 412, "what the reference names is not what If-Match or If-None-Match demands"
)
NOT_DELETED = ErrorDescriptor("MANIFEST_UNKNOWN", 404, "nothing of that name was deleted that can be restored")
HISTORY_UNKNOWN = ErrorDescriptor("MANIFEST_UNKNOWN", 404, "the tag has no history that goes back so far")
TOO_MANY_TAGS = ErrorDescriptor("TAG_INVALID", 414, "too many tags for one manifest at once")
PAGE_INVALID = ErrorDescriptor("UNSUPPORTED", 400, "invalid number of results requested")
QUERY_INVALID = ErrorDescriptor("UNSUPPORTED", 400, "invalid query")
HOST_INVALID = ErrorDescriptor(
    "UNSUPPORTED", 400, "a request has exactly one Host header, a name or an address and a port"
)
UNAUTHORIZED = ErrorDescriptor("UNAUTHORIZED", 401, "authentication required")
DENIED = ErrorDescriptor("DENIED", 403, "requested access to the resource is denied")
TOKEN_REQUEST_INVALID = ErrorDescriptor("UNSUPPORTED", 400, "invalid request for a token")
UNSUPPORTED = ErrorDescriptor("UNSUPPORTED", 405, "the operation is unsupported")
NOT_FOUND = ErrorDescriptor("UNSUPPORTED", 404, "there is no such endpoint")
UNAVAILABLE = ErrorDescriptor("UNAVAILABLE", 503, "a service did not answer; the same request may work later")
TOO_MANY_LOGINS = ErrorDescriptor("TOOMANYREQUESTS", 429, "too many failed logins from here")
TOO_MANY_UPLOADS = ErrorDescriptor(
    "UNAVAILABLE", 503, "too many uploads at a time, in all or of yours; try again in some seconds"
)
STORE_FULL = ErrorDescriptor(
    "INSUFFICIENT_STORAGE",
    507,
    "no space left: the registry keeps nothing new until its operator frees space, as with `lading gc`, or adds some",
)
UNKNOWN = ErrorDescriptor("UNKNOWN", 500, "unknown error")


@dataclass
class RegistryError(Exception):
    """A row, with what it is about.

    detail   JSON for the client: what exactly was wrong, never what the client could not know
    upload   the session that a refused chunk was meant for: the answer says where it ends
    """

    descriptor: ErrorDescriptor
    detail: Any = None
    upload: Upload | None = None

    def __str__(self) -> str:
        """Return the error as a sentence, for logs and the command line."""
        return (
            self.descriptor.message if self.detail is None else f"{self.descriptor.message}: {_in_words(self.detail)}"
        )


def _in_words(detail: Any) -> str:
    """Return a detail as people write it: `tag nope, malformed tag` for {"tag": "nope", "reason": "malformed tag"}."""
    match detail:
        case dict():
            return ", ".join(
                _in_words(value) if name == "reason" else _pair(name, value) for name, value in detail.items()
            )
        case list() | tuple():
            return ", ".join(map(_in_words, detail))
    text = str(detail)
    # Some of it is the client's, and a log has a line for each record.
    return text if text.isprintable() else ascii(text)


def _pair(name: str, value: Any) -> str:
    return f"{re.sub('_|(?=[A-Z])', ' ', name).lower()} {_in_words(value)}"


def denied(permission: str, resource: str) -> RegistryError:
    """DENIED, in Artifact Registry's words, which people know, and scripts look for."""
    message = f'Permission "{permission}" denied on resource "{resource}" (or it may not exist)'
    return RegistryError(DENIED._replace(message=message))


def too_many_logins(seconds: int) -> RegistryError:
    """TOO_MANY_LOGINS, with the time after which the client may try again; docker shows the message alone."""
    message = f"{TOO_MANY_LOGINS.message}; try again in {seconds} s"
    return RegistryError(TOO_MANY_LOGINS._replace(message=message), {"retry_after": seconds})


def blob_unknown_without_rule(rule: str, digests: Sequence[str]) -> RegistryError:
    """Return MANIFEST_BLOB_UNKNOWN about what a manifest could lack by a rule; clients show the message alone."""
    message = f"{MANIFEST_BLOB_UNKNOWN.message}; only the rule {rule} (--allow-missing) lets a manifest lack it"
    return RegistryError(MANIFEST_BLOB_UNKNOWN._replace(message=message), [{"digest": each} for each in digests])


def tag_immutable(tag: str, rule: str) -> RegistryError:
    """What a client is told who moves or deletes what an immutable tag names; clients show the message alone."""
    message = f"tag {tag} is immutable by the rule {rule}: it is neither moved nor deleted"
    return RegistryError(TAG_IMMUTABLE._replace(message=message), {"tag": tag, "rule": rule})
