"""The context of a request, which handlers receive, and the parameters of listings."""

from typing import Any, NamedTuple
from urllib.parse import urlencode

from werkzeug.wrappers import Request

from lading.audit import Audit
from lading.auth.access import Authenticator, Caller
from lading.auth.bulkhead import Bulkhead
from lading.http.poll_slots import PollSlots
from lading.http.request_body import RequestBody
from lading.http.responses import Response
from lading.registry.change_context import ChangeContext
from lading.registry.errors import PAGE_INVALID, RegistryError
from lading.registry.names import MAX_NAME
from lading.registry.registry import Registry

MAX_PAGE_SIZE = 1_000
"""Items of a page of a listing; a client may request fewer (CVE-2023-2253)."""


class RequestContext(NamedTuple):
    """The context of one request.

    authenticator  issues tokens
    caller         the authenticated caller, which may be anonymous
    audit          records what the handler changes
    searches       limits the concurrent requests that scan many records
    polls          limits the concurrent requests that wait for events
    url            the registry's public base URL without a trailing slash, or "" for relative URLs
    name           the repository's name, checked by the grammar, or ""
    last_segment   the path's last segment where the route has one: a digest, reference or session id, not yet checked
    """

    request: Request
    body: RequestBody
    registry: Registry
    authenticator: Authenticator
    caller: Caller
    audit: Audit
    searches: Bulkhead
    polls: PollSlots
    url: str
    name: str = ""
    last_segment: str = ""

    def change_context(self, action: str) -> ChangeContext:
        """Return the action, caller and id of this request, for the history of tags."""
        return ChangeContext(action, self.caller.principal, self.audit.origin.id, warnings={})

    def location(self, *segments: str) -> str:
        """Return the URL of a resource in this repository; it never depends on the Host header, which can be forged."""
        return "/".join([f"{self.url}/v2/{self.name}", *segments])

    def client_has_digest(self, digest: str) -> bool:
        """Return whether If-None-Match names this digest (RFC 9110, section 13.1.2)."""
        # Few clients send the header, and to parse it costs more than to look it up.
        return "HTTP_IF_NONE_MATCH" in self.request.environ and self.request.if_none_match.contains_weak(digest)


def page_size(context: RequestContext) -> int:
    """Return the parameter `n` of a listing, at most MAX_PAGE_SIZE. Raises PAGE_INVALID."""
    n = context.request.args.get("n")
    if n is None:
        return MAX_PAGE_SIZE
    if not (n.isascii() and n.isdigit()):
        raise RegistryError(PAGE_INVALID, {"n": n[:20]})
    # A client may send any number of digits; int() has a limit of its own, far above the relevant values.
    return min(int(n[:10]), MAX_PAGE_SIZE)


def start_after(context: RequestContext) -> str:
    """Return the parameter `last` of a listing, after which the page begins: any text, cut to the length of a name."""
    return context.request.args.get("last", "")[:MAX_NAME]


def add_next_link(context: RequestContext, response: Response, parameters: dict[str, Any]) -> None:
    """Add the Link to the next page (RFC 8288)."""
    path = f"{context.url}{context.request.path}"
    response.add({"Link": f'<{path}?{urlencode(parameters)}>; rel="next"'})
