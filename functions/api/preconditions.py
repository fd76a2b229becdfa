"""If-Match and If-None-Match of a write (RFC 9110, section 13.1). The ETag of a manifest is its digest."""

from werkzeug.datastructures import ETags

from functions.api.base import Call
from functions.registry.preconditions import ANY, UNCONDITIONAL, Precondition


def precondition_of(call: Call) -> Precondition:
    """Return what a request demands of what its reference names. A header without an entity tag matches nothing."""
    environ = call.request.environ
    if "HTTP_IF_MATCH" not in environ and "HTTP_IF_NONE_MATCH" not in environ:
        return UNCONDITIONAL
    return Precondition(
        # A weak entity tag never matches strongly.
        match=_digests(call.request.if_match, weak=False) if "HTTP_IF_MATCH" in environ else None,
        none_match=_digests(call.request.if_none_match, weak=True),
    )


def _digests(tags: ETags, *, weak: bool) -> frozenset[str]:
    if tags.star_tag:
        return frozenset([ANY])
    # What is quoted is an entity tag, though it be an asterisk.
    return frozenset(tags.as_set(include_weak=weak)) - {ANY}
