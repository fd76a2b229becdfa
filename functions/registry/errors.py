"""Every error that a client may be told of, a row each. Rules raise RegistryError; api.answers alone writes it out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from storage.records import Upload


class Row(NamedTuple):
    """An error's code (distribution-spec, "Error Codes"), its HTTP status and its message."""

    code: str
    status: int
    message: str


BLOB_UNKNOWN = Row("BLOB_UNKNOWN", 404, "blob unknown to registry")
BLOB_NAMED = Row("UNSUPPORTED", 405, "a manifest names this blob; delete the manifest first")
UPLOAD_INVALID = Row("BLOB_UPLOAD_INVALID", 400, "blob upload invalid")
UPLOAD_UNKNOWN = Row("BLOB_UPLOAD_UNKNOWN", 404, "blob upload unknown to registry")
RANGE_INVALID = Row("BLOB_UPLOAD_INVALID", 416, "the chunk does not begin where the upload ends")
RANGE_UNSATISFIABLE = Row("UNSUPPORTED", 416, "the blob does not have this range")
SIZE_WRONG = Row("SIZE_INVALID", 400, "the body is not as long as its headers say")
BODY_CUT = Row("SIZE_INVALID", 400, "the connection ended before the last chunk of the body")
LENGTH_REQUIRED = Row("SIZE_INVALID", 411, "a body that no digest is checked against needs a Content-Length here")
BODY_TOO_LARGE = Row(
    "SIZE_INVALID",
    413,
    "this registry is deployed as a function without HTTP/2, where a request's body ends at 32 MiB: deploy it with "
    "http2 = true, or push in chunks (regctl registry set HOST --blob-chunk 16777216 --blob-max 16777216)",
)
BODY_STALLED = Row("BLOB_UPLOAD_INVALID", 408, "the body did not go on in time")
DIGEST_INVALID = Row("DIGEST_INVALID", 400, "provided digest did not match uploaded content")
MANIFEST_BLOB_UNKNOWN = Row("MANIFEST_BLOB_UNKNOWN", 400, "manifest references a manifest or blob unknown to registry")
MANIFEST_INVALID = Row("MANIFEST_INVALID", 400, "manifest invalid")
MANIFEST_NAMED = Row("UNSUPPORTED", 405, "an index names this manifest; delete the index first")
MANIFEST_TOO_LARGE = Row("SIZE_INVALID", 413, "manifest too large")
MANIFEST_UNKNOWN = Row("MANIFEST_UNKNOWN", 404, "manifest unknown to registry")
NAME_INVALID = Row("NAME_INVALID", 400, "invalid repository name")
NAME_UNKNOWN = Row("NAME_UNKNOWN", 404, "repository name not known to registry")
TAG_INVALID = Row("TAG_INVALID", 400, "invalid tag")
TAG_RESERVED = Row("TAG_INVALID", 400, "TAG.asof-TIME is what TAG was at a time: it is neither pushed nor deleted")
TAG_IMMUTABLE = Row("DENIED", 409, "an immutable tag is neither moved nor deleted")
TAG_TAKEN = Row("DENIED", 409, "the tag names another manifest by now")
PRECONDITION_FAILED = Row("DENIED", 412, "what the reference names is not what If-Match or If-None-Match demands")
NOT_DELETED = Row("MANIFEST_UNKNOWN", 404, "nothing of that name was deleted that can be restored")
HISTORY_UNKNOWN = Row("MANIFEST_UNKNOWN", 404, "the tag has no history that goes back so far")
TAGS_TOO_MANY = Row("TAG_INVALID", 414, "too many tags for one manifest at once")
PAGE_INVALID = Row("UNSUPPORTED", 400, "invalid number of results requested")
QUERY_INVALID = Row("UNSUPPORTED", 400, "invalid query")
HOST_INVALID = Row("UNSUPPORTED", 400, "a request has exactly one Host header, a name or an address and a port")
UNAUTHORIZED = Row("UNAUTHORIZED", 401, "authentication required")
DENIED = Row("DENIED", 403, "requested access to the resource is denied")
TOKEN_REQUEST_INVALID = Row("UNSUPPORTED", 400, "invalid request for a token")
UNSUPPORTED = Row("UNSUPPORTED", 405, "the operation is unsupported")
NOT_FOUND = Row("UNSUPPORTED", 404, "there is no such endpoint")
UNAVAILABLE = Row("UNAVAILABLE", 503, "a service did not answer; the same request may work later")
LOGINS_TOO_MANY = Row("TOOMANYREQUESTS", 429, "too many failed logins from here")
UPLOADS_TOO_MANY = Row("UNAVAILABLE", 503, "too many uploads at a time, in all or of yours; try again in some seconds")
STORE_FULL = Row(
    "INSUFFICIENT_STORAGE",
    507,
    "no space left: the registry keeps nothing new until its operator frees space, as with `lading gc`, or adds some",
)
UNKNOWN = Row("UNKNOWN", 500, "unknown error")


@dataclass
class RegistryError(Exception):
    """A row, with what it is about.

    detail   JSON for the client: what exactly was wrong, never what the client could not know
    upload   the session that a refused chunk was meant for: the answer says where it ends
    """

    row: Row
    detail: Any = None
    upload: Upload | None = None

    def __str__(self) -> str:
        """Return the error as a sentence, for logs and the command line."""
        return self.row.message if self.detail is None else f"{self.row.message}: {_in_words(self.detail)}"


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


def logins_too_many(seconds: int) -> RegistryError:
    """LOGINS_TOO_MANY, with the time after which the client may try again; docker shows the message alone."""
    message = f"{LOGINS_TOO_MANY.message}; try again in {seconds} s"
    return RegistryError(LOGINS_TOO_MANY._replace(message=message), {"retry_after": seconds})


def allowed_by(rule: str, digests: Sequence[str]) -> RegistryError:
    """Return MANIFEST_BLOB_UNKNOWN about what a manifest could lack by a rule; clients show the message alone."""
    message = f"{MANIFEST_BLOB_UNKNOWN.message}; only the rule {rule} (--allow-missing) lets a manifest lack it"
    return RegistryError(MANIFEST_BLOB_UNKNOWN._replace(message=message), [{"digest": each} for each in digests])


def immutable(tag: str, rule: str) -> RegistryError:
    """What a client is told who moves or deletes what an immutable tag names; clients show the message alone."""
    message = f"tag {tag} is immutable by the rule {rule}: it is neither moved nor deleted"
    return RegistryError(TAG_IMMUTABLE._replace(message=message), {"tag": tag, "rule": rule})
