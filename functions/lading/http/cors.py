"""Cross-origin requests: web pages of the origins in the settings may use the registry (Fetch, "CORS protocol").

A page can read a response, and send Authorization, only where the response names its origin. `*` is never sent, since a
response to a request with credentials must name the origin. request_checks decides by the same list which pages may
write.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from lading.http.responses import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

REQUEST_HEADERS: Final = (
    "Accept, Authorization, Cache-Control, Content-Range, Content-Type, If-Match, If-None-Match, Range, X-Request-Id"
)
"""Request headers that a page may send: those of registry clients."""

RESPONSE_HEADERS: Final = (
    "Content-Length, Content-Range, Docker-Content-Digest, Docker-Distribution-API-Version, Docker-Upload-UUID, ETag,"
    " Link, Location, OCI-Chunk-Min-Length, OCI-Filters-Applied, OCI-Subject, OCI-Tag, Range, Retry-After,"
    " WWW-Authenticate, X-Request-Id"
)
"""Response headers that a page may read in addition to the CORS-safelisted ones."""

MAX_AGE: Final = "600"
"""Seconds for which a browser may cache a preflight response. Its own limit may be lower."""


def add_headers(origins: Collection[str], environ: "WSGIEnvironment", response: Response) -> None:
    """Add the CORS headers to a response, also to that of a preflight request.

    Args:
        origins: the origins whose pages may use the registry.
        environ: the WSGI environment of the request.
        response: the response.
    """
    # So that a cache does not serve the response for one origin to another.
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
