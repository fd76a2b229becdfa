"""If-Match and If-None-Match (RFC 9110, section 13.1). The ETag of a manifest or blob is its digest.

A malformed header has the strictest meaning: If-Match then matches nothing, and If-None-Match everything. If the
condition were ignored because of a stray quotation mark, a write would overwrite what it was meant to preserve.
"""

import re
from typing import Final

from werkzeug.datastructures import ETags
from werkzeug.wrappers import Request

from lading.registry.preconditions import ANY, UNCONDITIONAL, Precondition

_TAG: Final = r'(?:(?:W/)?"[^"]*"|[^\s",*]+)'
_TAGS: Final = re.compile(rf"\s*{_TAG}(?:\s*,\s*{_TAG})*\s*")
"""A list of entity tags; tags without quotation marks are accepted as well."""


def precondition_of(request: Request) -> Precondition:
    """Return the precondition of a write on the manifest or blob that the path names."""
    environ = request.environ
    match, none_match = environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH")
    if match is None and none_match is None:
        return UNCONDITIONAL
    return Precondition(
        match=None if match is None else _match(request, match),
        none_match=frozenset() if none_match is None else _none_match(request, none_match),
    )


def match_of(request: Request) -> Precondition:
    """Return the precondition of a read, its If-Match. If-None-Match is no condition there, but makes it a 304."""
    header = request.environ.get("HTTP_IF_MATCH")
    return UNCONDITIONAL if header is None else Precondition(match=_match(request, header))


def _match(request: Request, header: str) -> frozenset[str]:
    if header.strip() == ANY:
        return frozenset([ANY])
    # A weak entity tag never matches in a strong comparison.
    return _digests(request.if_match, weak=False) if _TAGS.fullmatch(header) else frozenset()


def _none_match(request: Request, header: str) -> frozenset[str]:
    return _digests(request.if_none_match, weak=True) if _TAGS.fullmatch(header) else frozenset([ANY])


def _digests(tags: ETags, *, weak: bool) -> frozenset[str]:
    # A quoted asterisk is an entity tag, not the wildcard.
    return frozenset(tags.as_set(include_weak=weak)) - {ANY}
