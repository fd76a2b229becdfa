"""Pulling and deleting blobs."""

from functools import partial
from typing import Final

from lading.http.byteranges import byteranges
from lading.http.preconditions import match_of, precondition_of
from lading.http.ranges import requested
from lading.http.responses import Response
from lading.leader import step_down
from lading.registry.changes import Change
from lading.registry.errors import BLOB_UNKNOWN
from lading.registry.names import check_digest
from lading.surface.request_context import RequestContext
from lading_storage.records.core import Link

CONTENT_TYPE: Final = "application/octet-stream"


def get(context: RequestContext) -> Response:
    """end-2: return a blob, or ranges of it; redirect to the blob store where that can sign a URL.

    The redirect does not depend on the Range header: the client sends it to the store, which serves ranges in its own
    way. To serve multiple ranges here would route content through the function that no other pull routes there.
    """
    check_digest(context.last_segment, BLOB_UNKNOWN)
    # A client that sends HEAD may skip an upload, so blobs that may be collected soon count as missing.
    link = context.registry.blobs.get(context.name, context.last_segment, for_reuse=context.request.method == "HEAD")
    match_of(context.request).check(link.id)
    headers = {"Docker-Content-Digest": link.id, "ETag": f'"{link.id}"', "Accept-Ranges": "bytes"}
    if context.client_has_digest(link.id):
        return Response(304, headers)
    if context.request.method == "GET":
        # Signing a URL may need a network call, and opening an object a slow disk.
        step_down()
        if url := context.registry.blobs.signed_url(link):
            return Response(307, headers | {"Location": url})
    return _content(context, link, headers)


def delete(context: RequestContext) -> Response:
    """end-10: make a blob invisible in this repository, if the preconditions hold (If-Match, If-None-Match)."""
    check_digest(context.last_segment, BLOB_UNKNOWN)
    context.registry.blobs.delete(context.name, context.last_segment, precondition_of(context.request))
    context.audit.record_change(Change("blob-deleted", context.last_segment))
    return Response(202)


def _content(context: RequestContext, link: Link, headers: dict[str, str]) -> Response:
    if context.request.method == "HEAD":
        # Range is defined for GET alone (RFC 9110, section 14.2).
        return Response(200, headers | {"Content-Type": CONTENT_TYPE}, b"", link.size)
    ranges = requested(_applicable_range(context, link), link.size)
    if len(ranges) > 1:
        parts = byteranges(ranges, link.size, CONTENT_TYPE, partial(context.registry.blobs.open, link))
        return Response(206, headers | {"Content-Type": parts.media_type}, parts.chunks, parts.size)
    start, stop = ranges[0] if ranges else (0, link.size)
    headers["Content-Type"] = CONTENT_TYPE
    if ranges:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{link.size}"
    return Response(206 if ranges else 200, headers, context.registry.blobs.open(link, start, stop), stop - start)


def _applicable_range(context: RequestContext, link: Link) -> str | None:
    """Return the Range header, unless If-Range names another or a weak entity tag (RFC 9110, section 13.1.5)."""
    headers = context.request.headers
    return headers.get("Range") if headers.get("If-Range") in (None, f'"{link.id}"') else None
