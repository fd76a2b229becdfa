"""Every error that a client can receive, a row each. Only the API layer renders a RegistryError as a response."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lading_storage.records.core import Upload


class ErrorDescriptor(NamedTuple):
    """Error code (distribution-spec, "Error Codes"), HTTP status, and message."""

    code: str
    status: int
    message: str


BLOB_UNKNOWN = ErrorDescriptor("BLOB_UNKNOWN", 404, "blob unknown to registry")
BLOB_REFERENCED = ErrorDescriptor("UNSUPPORTED", 405, "a manifest references this blob; delete the manifest first")
UPLOAD_INVALID = ErrorDescriptor("BLOB_UPLOAD_INVALID", 400, "blob upload invalid")
UPLOAD_UNKNOWN = ErrorDescriptor("BLOB_UPLOAD_UNKNOWN", 404, "blob upload unknown to registry")
RANGE_INVALID = ErrorDescriptor("BLOB_UPLOAD_INVALID", 416, "the chunk does not begin where the upload ends")
RANGE_UNSATISFIABLE = ErrorDescriptor("UNSUPPORTED", 416, "the requested range is outside the blob")
SIZE_MISMATCH = ErrorDescriptor("SIZE_INVALID", 400, "the length of the body does not match its headers")
BODY_TRUNCATED = ErrorDescriptor("SIZE_INVALID", 400, "the connection ended before the last chunk of the body")
LENGTH_REQUIRED = ErrorDescriptor(
    "SIZE_INVALID", 411, "this request needs a Content-Length, since no digest verifies its body"
)
LENGTH_UNKNOWN = ErrorDescriptor(
    "SIZE_INVALID", 411, "this server does not mark the end of a chunked body; send a Content-Length"
)
BODY_TOO_LARGE = ErrorDescriptor(
    "SIZE_INVALID",
    413,
    "this registry is deployed as a function without HTTP/2, which limits the body of a request to 32 MiB: deploy it "
    "with http2 = true, or push in chunks (regctl registry set HOST --blob-chunk 16777216 --blob-max 16777216)",
)
BODY_STALLED = ErrorDescriptor("BLOB_UPLOAD_INVALID", 408, "timeout while reading the body; try again")
DIGEST_INVALID = ErrorDescriptor("DIGEST_INVALID", 400, "provided digest did not match uploaded content")
DIGEST_AMBIGUOUS = ErrorDescriptor("DIGEST_INVALID", 400, "more than one digest begins with these digits")
MANIFEST_BLOB_UNKNOWN = ErrorDescriptor(
    "MANIFEST_BLOB_UNKNOWN", 400, "manifest references a manifest or blob unknown to registry"
)
MANIFEST_INVALID = ErrorDescriptor("MANIFEST_INVALID", 400, "manifest invalid")
MANIFEST_REFERENCED = ErrorDescriptor("UNSUPPORTED", 405, "an index references this manifest; delete the index first")
MANIFEST_TOO_LARGE = ErrorDescriptor("SIZE_INVALID", 413, "manifest too large")
MANIFEST_UNKNOWN = ErrorDescriptor("MANIFEST_UNKNOWN", 404, "manifest unknown to registry")
NAME_INVALID = ErrorDescriptor("NAME_INVALID", 400, "invalid repository name")
NAME_UNKNOWN = ErrorDescriptor("NAME_UNKNOWN", 404, "repository name not known to registry")
TAG_INVALID = ErrorDescriptor("TAG_INVALID", 400, "invalid tag")
TAG_RESERVED = ErrorDescriptor(
    "TAG_INVALID", 400, "TAG.asof-TIME is reserved for what TAG pointed to at a time: it cannot be pushed or deleted"
)
TAG_IMMUTABLE = ErrorDescriptor("DENIED", 409, "an immutable tag cannot be moved or deleted")
TAG_CONFLICT = ErrorDescriptor("DENIED", 409, "the tag now points to another manifest")
PRECONDITION_FAILED = ErrorDescriptor(
    "DENIED", 412, "the manifest or blob that the reference points to does not satisfy If-Match or If-None-Match"
)
SBOM_UNKNOWN = ErrorDescriptor("MANIFEST_UNKNOWN", 404, "there is no SBOM of the image: its scan is not finished")
SCAN_CLAIM_UNKNOWN = ErrorDescriptor(
    "DENIED", 409, "no scanner has this claim: it has ended, or another scanner works on the image"
)
NOT_DELETED = ErrorDescriptor("MANIFEST_UNKNOWN", 404, "nothing that was deleted under this name can be restored")
HISTORY_UNKNOWN = ErrorDescriptor("MANIFEST_UNKNOWN", 404, "the history of the tag does not go back that far")
TOO_MANY_TAGS = ErrorDescriptor("TAG_INVALID", 414, "too many tags for one manifest in one request")
PAGE_INVALID = ErrorDescriptor("UNSUPPORTED", 400, "invalid number of results requested")
QUERY_INVALID = ErrorDescriptor("UNSUPPORTED", 400, "invalid query")
REQUEST_INVALID = ErrorDescriptor("UNSUPPORTED", 400, "invalid request")
RULES_INVALID = ErrorDescriptor("UNSUPPORTED", 400, "the rules are not valid; nothing was changed")
HOST_INVALID = ErrorDescriptor(
    "UNSUPPORTED", 400, "a request needs exactly one Host header: a host name or an address, with an optional port"
)
UNAUTHORIZED = ErrorDescriptor("UNAUTHORIZED", 401, "authentication required")
DENIED = ErrorDescriptor("DENIED", 403, "requested access to the resource is denied")
TOKEN_REQUEST_INVALID = ErrorDescriptor("UNSUPPORTED", 400, "invalid request for a token")
UNSUPPORTED = ErrorDescriptor("UNSUPPORTED", 405, "the operation is unsupported")
NOT_FOUND = ErrorDescriptor("UNSUPPORTED", 404, "unknown endpoint")
UNAVAILABLE = ErrorDescriptor("UNAVAILABLE", 503, "a service is unavailable; try again later")
TOO_MANY_LOGINS = ErrorDescriptor("TOOMANYREQUESTS", 429, "too many failed logins from here")
TOO_MANY_UPLOADS = ErrorDescriptor(
    "UNAVAILABLE", 503, "too many concurrent uploads, in total or from one client; try again in some seconds"
)
TOO_MANY_WAITING = ErrorDescriptor(
    "UNAVAILABLE", 503, "too many requests wait for events, in total or from one client; try again in some seconds"
)
EVENTS_GONE = ErrorDescriptor(
    "UNSUPPORTED",
    410,
    "events are readable for an hour, and some after this cursor or time may be gone: read from now on, without it, and"
    " publish the missed ones again with `lading events replay --since TIME`",
)
STORE_FULL = ErrorDescriptor(
    "INSUFFICIENT_STORAGE",
    507,
    "no space left: the registry stores nothing new until its operator adds space, or frees some with `lading gc`",
)
UNKNOWN = ErrorDescriptor("UNKNOWN", 500, "unknown error")


@dataclass
class RegistryError(Exception):
    """An error of one request.

    descriptor  the row
    detail      JSON for the client: what exactly was wrong, and nothing that the client may not know
    upload      the session that a rejected chunk was sent to: the response says where it ends
    """

    descriptor: ErrorDescriptor
    detail: Any = None
    upload: Upload | None = None

    def __str__(self) -> str:
        """Return the error as a sentence, for logs and the command line."""
        if self.detail is None or self.is_of_policy:
            return self.descriptor.message
        return f"{self.descriptor.message}: {_in_words(self.detail)}"

    @property
    def is_of_policy(self) -> bool:
        """Whether a policy refuses (denied_by_policy): the message says which, and why."""
        return self.descriptor.code == DENIED.code and isinstance(self.detail, dict) and "policies" in self.detail


def _in_words(detail: Any) -> str:
    """Return a detail as text: `tag nope, malformed tag` for {"tag": "nope", "reason": "malformed tag"}."""
    match detail:
        case dict():
            return ", ".join(
                _in_words(value) if name == "reason" else _pair(name, value) for name, value in detail.items()
            )
        case list() | tuple():
            return ", ".join(map(_in_words, detail))
    text = str(detail)
    # It can contain input of the client, and a log record is one line.
    return text if text.isprintable() else ascii(text)


def _pair(name: str, value: Any) -> str:
    return f"{re.sub('_|(?=[A-Z])', ' ', name).lower()} {_in_words(value)}"


def denied(permission: str, resource: str) -> RegistryError:
    """Return DENIED in the words of Artifact Registry, which people know and scripts match."""
    message = f'Permission "{permission}" denied on resource "{resource}" (or it may not exist)'
    return RegistryError(DENIED._replace(message=message))


def denied_by_policy(line: str, detail: Any) -> RegistryError:
    """Return DENIED with a line that says which policy refuses, and why; clients show only the message."""
    return RegistryError(DENIED._replace(message=line), detail)


def too_many_logins(seconds: int) -> RegistryError:
    """Return TOO_MANY_LOGINS with the seconds until the client may retry; docker shows only the message."""
    message = f"{TOO_MANY_LOGINS.message}; try again in {seconds} s"
    return RegistryError(TOO_MANY_LOGINS._replace(message=message), {"retry_after": seconds})


def blob_unknown_without_rule(rule: str, digests: Sequence[str]) -> RegistryError:
    """Return MANIFEST_BLOB_UNKNOWN with the rule that would allow the missing content; clients show only the message.

    Args:
        rule: `REPOSITORY:urls` or `REPOSITORY:sparse`.
        digests: the missing content.
    """
    message = f"{MANIFEST_BLOB_UNKNOWN.message}; only the rule {rule} (--allow-missing) allows a manifest to lack it"
    return RegistryError(MANIFEST_BLOB_UNKNOWN._replace(message=message), [{"digest": each} for each in digests])


def tag_immutable(tag: str, rule: str) -> RegistryError:
    """Return TAG_IMMUTABLE with the tag and the rule that protects it; clients show only the message."""
    message = f"tag {tag} is immutable by the rule {rule}: it cannot be moved or deleted"
    return RegistryError(TAG_IMMUTABLE._replace(message=message), {"tag": tag, "rule": rule})
