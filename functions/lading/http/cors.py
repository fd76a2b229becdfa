"""Cross-origin requests: web pages of other sites that the settings name may use the registry (Fetch, "CORS protocol").

A page reads an answer, and sends Authorization, only where the answer names its origin; `*` is never said, since what
is asked with credentials must name it. Which pages may write, request_checks decides by the same list.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from lading.http.responses import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

REQUEST_HEADERS: Final = (
    "Accept, Authorization, Cache-Control, Content-Range, Content-Type, If-Match, If-None-Match, Range, X-Request-Id"
)
"""What a page may send: what clients of a registry do."""

RESPONSE_HEADERS: Final = (
    "Content-Length, Content-Range, Docker-Content-Digest, Docker-Distribution-API-Version, Docker-Upload-UUID, ETag,"
    " Link, Location, OCI-Chunk-Min-Length, OCI-Filters-Applied, OCI-Subject, OCI-Tag, Range, Retry-After,"
    " WWW-Authenticate, X-Request-Id"
)
"""What a page may read beside what all pages may."""

MAX_AGE: Final = "600"
"""Seconds for which a browser need not ask again. Its own cap may be lower."""


def add_headers(origins: Collection[str], environ: "WSGIEnvironment", response: Response) -> None:
    """Let a page of one of `origins` read an answer, and send the request that it asks for (preflight)."""
    # What one page is told, a cache must not tell another one.
    headers = {"Vary": "Origin"}
    origin = environ.get("HTTP_ORIGIN", "")
    if origin in origins:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Allow-Credentials"] = "true"
        headers["Access-Control-Expose-Headers"] = RESPONSE_HEADERS
        if environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            allowed = next((value for name, value in response.headers if name == "Allow"), "")
            headers["Access-Control-Allow-Methods"] = allowed
            headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
            headers["Access-Control-Max-Age"] = MAX_AGE
    response.add(headers)
