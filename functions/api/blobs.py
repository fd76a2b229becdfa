"""Pulling and deleting blobs."""

from functools import partial
from typing import Final

from functions.api.answers import Answer
from functions.api.base import Call
from functions.api.byteranges import byteranges
from functions.api.preconditions import require_match
from functions.api.ranges import requested
from functions.desk import leave
from functions.registry.changes import Change
from functions.registry.errors import BLOB_UNKNOWN
from functions.registry.names import check_digest
from storage.records import Link

CONTENT_TYPE: Final = "application/octet-stream"


def get(call: Call) -> Answer:
    """end-2: a blob, or ranges of it; a redirect to the blob store where that can sign a URL.

    A redirect is answered whatever the Range: the client sends it on, and the store serves ranges as it does. Several
    of them through here instead would send through the function what no pull sends there.
    """
    check_digest(call.last, BLOB_UNKNOWN)
    # Whoever only asks may push less for it, so what may go soon is not there.
    link = call.registry.blobs.get(call.name, call.last, to_stay=call.request.method == "HEAD")
    require_match(call, link.id)
    headers = {"Docker-Content-Digest": link.id, "ETag": f'"{link.id}"', "Accept-Ranges": "bytes"}
    if call.client_has(link.id):
        return Answer(304, headers)
    if call.request.method == "GET":
        # A URL is signed, which may take a call, or an object is opened, on a disk that may be slow.
        leave()
        if url := call.registry.blobs.signed_url(link):
            return Answer(307, headers | {"Location": url})
    return _content(call, link, headers)


def delete(call: Call) -> Answer:
    """end-10: make a blob invisible in this repository."""
    check_digest(call.last, BLOB_UNKNOWN)
    call.registry.blobs.delete(call.name, call.last)
    call.audit.did(Change("blob-deleted", call.last))
    return Answer(202)


def _content(call: Call, link: Link, headers: dict[str, str]) -> Answer:
    if call.request.method == "HEAD":
        # Range is defined for GET alone (RFC 9110, section 14.2).
        return Answer(200, headers | {"Content-Type": CONTENT_TYPE}, b"", link.size)
    asked = requested(_applicable_range(call, link), link.size)
    if len(asked) > 1:
        parts = byteranges(asked, link.size, CONTENT_TYPE, partial(call.registry.blobs.open, link))
        return Answer(206, headers | {"Content-Type": parts.media_type}, parts.pieces, parts.size)
    start, stop = asked[0] if asked else (0, link.size)
    headers["Content-Type"] = CONTENT_TYPE
    if asked:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{link.size}"
    return Answer(206 if asked else 200, headers, call.registry.blobs.open(link, start, stop), stop - start)


def _applicable_range(call: Call, link: Link) -> str | None:
    """The Range header, unless If-Range names other bytes than these, or not strongly (RFC 9110, section 13.1.5)."""
    headers = call.request.headers
    return headers.get("Range") if headers.get("If-Range") in (None, f'"{link.id}"') else None
