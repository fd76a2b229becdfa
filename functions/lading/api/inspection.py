"""What people see of repositories, tags and manifests, for `lading ls` and `lading show` over HTTP.

    GET /v2/_lading/repositories                     a page of the repositories that the caller may pull from
    GET /v2/_lading/<name>/tags                      a page of tags with digests, sizes and times
    GET /v2/_lading/<name>/manifest?reference=<ref>  the details of a manifest, by tag, digest or its first digits
    GET /v2/_lading/<name>/digest?prefix=<prefix>    the digest that begins with these digits
    GET /v2/_lading/<name>/deleted                   a page of what can be restored

The values are those of registry.details, and docs/management-api.md describes them. A listing is paginated by `n`,
`last` and a Link, and has the cursor of the next page in `next` as well. Callers who may push see who set a tag.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from lading.api.history import may_see_all, may_see_past
from lading.api.listings import page_of_repositories
from lading.http.responses import Response, json_response
from lading.json_values import plain
from lading.registry.change_context import now
from lading.registry.names import check_digest_prefix, is_digest_reference, parse_as_of
from lading.registry.pagination import Page
from lading.surface.request_context import RequestContext, add_next_link, page_size, start_after

MAX_TAGS: Final = 100
"""Tags of a page: each takes a read of its manifest, and of those below it."""


def repositories(context: RequestContext) -> Response:
    """repositories: list the repositories that the caller may pull from, and when each was created."""
    size = page_size(context)
    page = page_of_repositories(context, size)
    return page_response(context, "repositories", Page(context.registry.inspection.named(page.items), page.next), size)


def tags(context: RequestContext) -> Response:
    """tags: list the tags of a repository, with the sizes of their manifests and the times of pushes and pulls."""
    size = min(page_size(context), MAX_TAGS)
    with search_slot(context):
        page = context.registry.inspection.tags(context.name, start_after(context), size)
    return page_response(context, "tags", page, size)


def manifest(context: RequestContext) -> Response:
    """manifest: return the details of a manifest. No pull is recorded."""
    with search_slot(context):
        reference = named_digest(context, context.request.args.get("reference", ""))
        only_present = parse_as_of(reference) is not None and not may_see_past(context)
        details = context.registry.inspection.manifest(context.name, reference, only_present=only_present)
    if not may_see_all(context):
        details = replace(details, pushed_by="")
    return _json(details)


def digest(context: RequestContext) -> Response:
    """digest: return the digest of the only manifest whose digest begins with a prefix."""
    prefix = context.request.args.get("prefix", "")
    check_digest_prefix(prefix)
    return json_response({"digest": context.registry.inspection.find_digest(context.name, prefix)})


def deleted(context: RequestContext) -> Response:
    """deleted: list the deleted manifests and tags of a repository, until when each can be restored, and who did it."""
    size, last = page_size(context), start_after(context)
    if last:
        is_digest_reference(last)
    window = context.registry.rules.read(context.name).undelete(now())
    return page_response(
        context, "deleted", context.registry.inspection.deleted(context.name, last, size, window), size
    )


def named_digest(context: RequestContext, reference: str) -> str:
    """Return a tag as it is, and the whole digest for the beginning of one. Raises RegistryError."""
    if ":" not in reference:
        is_digest_reference(reference)
        return reference
    check_digest_prefix(reference)
    return context.registry.inspection.find_digest(context.name, reference)


def page_response(context: RequestContext, name: str, page: Page[Any], size: int) -> Response:
    """Return a page of dataclasses as JSON, with a Link and the cursor of the next one."""
    return listing_response(context, {name: page.items, "next": page.next}, {"n": size})


def listing_response(context: RequestContext, fields: Mapping[str, Any], parameters: Mapping[str, Any]) -> Response:
    """Return a page as JSON, with a Link to the next one.

    Args:
        context: of the request.
        fields: of the response; `next` is the cursor.
        parameters: of the Link beside the cursor.
    """
    response = _json(fields)
    if fields["next"]:
        add_next_link(context, response, {**parameters, "last": fields["next"]})
    return response


def _json(value: object) -> Response:
    """Return a response with dataclasses as JSON."""
    return Response(200, {"Content-Type": "application/json"}, json.dumps(value, default=plain).encode())


@contextmanager
def search_slot(context: RequestContext) -> Iterator[None]:
    """Hold one of the slots of searches, which few requests have at a time. Raises UNAVAILABLE."""
    with context.searches.slot(context.caller.principal or context.audit.origin.client.network):
        yield
