"""What `lading du` counts over HTTP, in pages: a request never reads a whole repository.

    GET /v2/_lading/<name>/usage?of=blobs         digests and sizes of the blobs that the repository links
    GET /v2/_lading/<name>/usage?of=shared-blobs  those that another repository links from which the caller may pull
    GET /v2/_lading/<name>/usage?of=manifests     what each manifest holds
    GET /v2/_lading/<name>/usage?of=tags          which manifest each tag names
    GET /v2/_lading/<name>/cleanup?of=pulls       when manifests were last pulled
    GET /v2/_lading/<name>/cleanup?of=deleted     deleted manifests, and the policies that deleted them
    GET /v2/_lading/<name>/cleanup?of=in-use      manifests that in-use reports name

The values are those of registry.usage_records. The second three, with the rules, say what clean-up would delete.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from lading.api.catalog import MAX_COMPARISONS
from lading.api.inspection import listing_response, search_slot
from lading.auth import patterns
from lading.auth.access import Action
from lading.http.responses import Response
from lading.registry.errors import QUERY_INVALID, RegistryError
from lading.registry.names import is_tag
from lading.registry.pagination import Page
from lading.registry.usage_records import MAX_SCANNED, BlobUsage
from lading.surface.request_context import RequestContext, page_size, start_after
from lading_storage.digests import is_digest

Read = Callable[[RequestContext, str, int], Page[Any]]
"""Reads a page of a repository: after a cursor, and of how many items at most."""


def usage(context: RequestContext) -> Response:
    """usage: list what a repository stores. `cleanup` says whether the caller may also read what clean-up would do."""
    may_clean_up = all(context.caller.decide(each, context.name).allowed for each in (Action.PUSH, Action.DELETE))
    return _list(context, USAGE, {"cleanup": may_clean_up})


def cleanup(context: RequestContext) -> Response:
    """Clean-up: list what decides what clean-up would delete, beside the rules."""
    return _list(context, CLEANUP, {})


def _list(context: RequestContext, kinds: Mapping[str, Read], more: Mapping[str, Any]) -> Response:
    kind, size, last = context.request.args.get("of", ""), page_size(context), start_after(context)
    if kind not in kinds:
        raise RegistryError(QUERY_INVALID, {"of": kind[:20], "reason": f"it is one of {', '.join(kinds)}"})
    # Cursors are the ids of tags and reports, and otherwise digests.
    if last and not (is_tag(last) if kind in ("tags", "in-use") else is_digest(last)):
        raise RegistryError(QUERY_INVALID, {"last": last[:20]})
    with search_slot(context):
        if not last:
            context.registry.tags.require(context.name)
        page = kinds[kind](context, last, size)
    return listing_response(context, {kind: page.items, "next": page.next, **more}, {"of": kind, "n": size})


def _shared_blobs(context: RequestContext, last: str, size: int) -> Page[BlobUsage]:
    """Return a page of blobs that are shared with repositories from which the caller may pull; no other is revealed."""
    readable = patterns.compiled(tuple(context.caller.readable_patterns()))
    max_scanned = min(MAX_SCANNED, max(1, MAX_COMPARISONS // max(1, readable.max_globs_per_name)))
    return context.registry.usage_pages.shared_blobs(context.name, last, size, readable.matches, max_scanned)


USAGE: Final[Mapping[str, Read]] = {
    "blobs": lambda context, *page: context.registry.usage_pages.blobs(context.name, *page),
    "shared-blobs": _shared_blobs,
    "manifests": lambda context, *page: context.registry.usage_pages.manifests(context.name, *page),
    "tags": lambda context, *page: context.registry.usage_pages.tags(context.name, *page),
}
CLEANUP: Final[Mapping[str, Read]] = {
    "pulls": lambda context, *page: context.registry.usage_pages.pulls(context.name, *page),
    "deleted": lambda context, *page: context.registry.usage_pages.deleted(context.name, *page),
    "in-use": lambda context, *page: context.registry.usage_pages.in_use(context.name, *page),
}
"""By the values of `of`."""
