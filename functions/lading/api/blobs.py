"""Pulling and deleting blobs."""

from functools import partial
from typing import Final

from lading.http.byteranges import byteranges
from lading.http.preconditions import require_match
from lading.http.ranges import requested
from lading.http.request_context import RequestContext
from lading.http.responses import Response
from lading.registry.changes import Change
from lading.registry.errors import BLOB_UNKNOWN
from lading.registry.names import check_digest
from lading.server.leader import step_down
from lading_storage.records.core import Link

CONTENT_TYPE: Final = "application/octet-stream"


def get(context: RequestContext) -> Response:
    """end-2: a blob, or ranges of it; a redirect to the blob store where that can sign a URL.

    A redirect is answered whatever the Range: the client sends it on, and the store serves ranges as it does. Several
    of them through here instead would send through the function what no pull sends there.
    """
    check_digest(context.last_segment, BLOB_UNKNOWN)
    # Whoever only asks may push less for it, so what may go soon is not there.
    link = context.registry.blobs.get(context.name, context.last_segment, for_reuse=context.request.method == "HEAD")
    require_match(context, link.id)
    headers = {"Docker-Content-Digest": link.id, "ETag": f'"{link.id}"', "Accept-Ranges": "bytes"}
    if context.client_has_digest(link.id):
        return Response(304, headers)
    if context.request.method == "GET":
        # A URL is signed, which may take a call, or an object is opened, on a disk that may be slow.
        step_down()
        if url := context.registry.blobs.signed_url(link):
            return Response(307, headers | {"Location": url})
    return _content(context, link, headers)


def delete(context: RequestContext) -> Response:
    """end-10: make a blob invisible in this repository."""
    check_digest(context.last_segment, BLOB_UNKNOWN)
    context.registry.blobs.delete(context.name, context.last_segment)
    context.audit.record_change(Change("blob-deleted", context.last_segment))
    return Response(202)


def _content(context: RequestContext, link: Link, headers: dict[str, str]) -> Response:
    if context.request.method == "HEAD":
        # Range is defined for GET alone (RFC 9110, section 14.2).
        return Response(200, headers | {"Content-Type": CONTENT_TYPE}, b"", link.size)
    asked = requested(_applicable_range(context, link), link.size)
    if len(asked) > 1:
        parts = byteranges(asked, link.size, CONTENT_TYPE, partial(context.registry.blobs.open, link))
        return Response(206, headers | {"Content-Type": parts.media_type}, parts.chunks, parts.size)
    start, stop = asked[0] if asked else (0, link.size)
    headers["Content-Type"] = CONTENT_TYPE
    if asked:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{link.size}"
    return Response(206 if asked else 200, headers, context.registry.blobs.open(link, start, stop), stop - start)


def _applicable_range(context: RequestContext, link: Link) -> str | None:
    """The Range header, unless If-Range names other bytes than these, or not strongly (RFC 9110, section 13.1.5)."""
    headers = context.request.headers
    return headers.get("Range") if headers.get("If-Range") in (None, f'"{link.id}"') else None
