"""If-Match and If-None-Match (RFC 9110, section 13.1). The ETag of a manifest or blob is its digest.

A header that cannot be read is taken at its strictest: If-Match then matches nothing, and If-None-Match everything. A
condition that is left out because of a stray quotation mark would let a write overwrite what it was to spare.
"""

import re
from typing import Final

from werkzeug.datastructures import ETags

from lading.http.request_context import RequestContext
from lading.registry.content.preconditions import ANY, UNCONDITIONAL, Precondition

_TAG: Final = r'(?:(?:W/)?"[^"]*"|[^\s",*]+)'
_TAGS: Final = re.compile(rf"\s*{_TAG}(?:\s*,\s*{_TAG})*\s*")
"""A list of entity tags; one without quotation marks is understood as well."""


def precondition_of(context: RequestContext) -> Precondition:
    """Return what a write demands of what its reference names."""
    environ = context.request.environ
    match, none_match = environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH")
    if match is None and none_match is None:
        return UNCONDITIONAL
    return Precondition(
        match=None if match is None else _match(context, match),
        none_match=frozenset() if none_match is None else _none_match(context, none_match),
    )


def require_match(call: RequestContext, digest: str) -> None:
    """Raise PRECONDITION_FAILED where a request for what is `digest` has an If-Match of something else."""
    header = call.request.environ.get("HTTP_IF_MATCH")
    if header is not None:
        Precondition(match=_match(call, header)).check(digest)


def _match(call: RequestContext, header: str) -> frozenset[str]:
    if header.strip() == ANY:
        return frozenset([ANY])
    # A weak entity tag never matches strongly.
    return _digests(call.request.if_match, weak=False) if _TAGS.fullmatch(header) else frozenset()


def _none_match(call: RequestContext, header: str) -> frozenset[str]:
    return _digests(call.request.if_none_match, weak=True) if _TAGS.fullmatch(header) else frozenset([ANY])


def _digests(tags: ETags, *, weak: bool) -> frozenset[str]:
    # What is quoted is an entity tag, though it be an asterisk.
    return frozenset(tags.as_set(include_weak=weak)) - {ANY}
