"""What a handler gets, and the endpoint that says that this is a registry."""

from typing import Any, NamedTuple
from urllib.parse import urlencode

from werkzeug.wrappers import Request

from lading.audit import Audit
from lading.auth.access import Authenticator, Caller
from lading.auth.authenticator import OpenAuthenticator
from lading.auth.bulkhead import Bulkhead
from lading.http.request_body import RequestBody
from lading.http.responses import Response, json_response
from lading.registry.change_context import ChangeContext
from lading.registry.errors import PAGE_INVALID, UNAUTHORIZED, RegistryError
from lading.registry.names import MAX_NAME
from lading.registry.registry import Registry
from lading.version import source_version

MAX_PAGE_SIZE = 1_000
"""Items of a listing; a client may ask for fewer (CVE-2023-2253)."""


class RequestContext(NamedTuple):
    """One request, on its way to a handler.

    door      where callers get tokens
    audit     where the handler reports what it did
    searches  bounds how many requests look through many records at a time
    url       the registry's address as clients see it, without a slash at the end, or "" for relative URLs
    name      the repository, of the right grammar, or ""
    last      the path's last segment, where the route has one: a digest, reference or session id, not yet checked
    """

    request: Request
    body: RequestBody
    registry: Registry
    authenticator: Authenticator
    caller: Caller
    audit: Audit
    searches: Bulkhead
    url: str
    name: str = ""
    last_segment: str = ""

    def change_context(self, action: str) -> ChangeContext:
        """What this request does, for the history of tags."""
        return ChangeContext(action, self.caller.principal, self.audit.origin.id)

    def location(self, *segments: str) -> str:
        """The URL of something in this repository; never made from the Host header, which anyone can set."""
        return "/".join([f"{self.url}/v2/{self.name}", *segments])

    def client_has_digest(self, digest: str) -> bool:
        """Whether the client says that it has these bytes (RFC 9110, section 13.1.2)."""
        # Hardly any client says so of any, and to read the header costs more than to look for it.
        return "HTTP_IF_NONE_MATCH" in self.request.environ and self.request.if_none_match.contains_weak(digest)


def check(context: RequestContext) -> Response:
    """end-1: this is a registry, and the caller may come in."""
    return json_response({})


def version(context: RequestContext) -> Response:
    """Tell the version of the sources, but not to everyone: it tells which faults they have."""
    if not context.caller.principal and not isinstance(context.authenticator, OpenAuthenticator):
        raise RegistryError(UNAUTHORIZED)
    return json_response({"version": source_version()})


def page_size(context: RequestContext) -> int:
    """The `n` of a listing, at most MAX_PAGE_SIZE. Raises PAGE_INVALID."""
    asked = context.request.args.get("n")
    if asked is None:
        return MAX_PAGE_SIZE
    if not (asked.isascii() and asked.isdigit()):
        raise RegistryError(PAGE_INVALID, {"n": asked[:20]})
    # Any number of digits may be sent; int() has a limit of its own, far above what matters here.
    return min(int(asked[:10]), MAX_PAGE_SIZE)


def start_after(context: RequestContext) -> str:
    """The `last` of a listing, behind which it begins: any text, of which no more counts than a name can have."""
    return context.request.args.get("last", "")[:MAX_NAME]


def add_next_link(context: RequestContext, response: Response, parameters: dict[str, Any]) -> None:
    """Say where the next page is (RFC 8288)."""
    path = f"{context.url}{context.request.path}"
    response.add({"Link": f'<{path}?{urlencode(parameters)}>; rel="next"'})
