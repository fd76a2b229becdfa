"""Listings of tags, repositories and referrers."""

from typing import Any

from lading.api import catalog
from lading.auth import cursors, patterns
from lading.http.responses import Response, json_response
from lading.registry.content.manifest_format import OCI_INDEX
from lading.registry.content.referrers import Referrer
from lading.registry.names import MAX_NAME, check_digest, check_subject
from lading.registry.pagination import Page
from lading.surface.request_context import RequestContext, add_next_link, page_size, start_after


def tags(context: RequestContext) -> Response:
    """end-8a, end-8b: list the tags of a repository, in lexical order."""
    size = page_size(context)
    page = context.registry.tags.names(context.name, start_after(context), size)
    response = json_response({"name": context.name, "tags": page.items})
    if page.next:
        add_next_link(context, response, {"n": size, "last": page.next})
    return response


def repositories(context: RequestContext) -> Response:
    """_catalog: list the repositories that the caller may pull from (Docker's API)."""
    size = page_size(context)
    page = page_of_repositories(context, size)
    response = json_response({"repositories": page.items})
    if page.next:
        add_next_link(context, response, {"n": size, "last": page.next})
    return response


def page_of_repositories(context: RequestContext, size: int) -> Page[str]:
    """Return a page of at most `size` repositories that the caller may pull from; its cursor reveals no other."""
    last = context.request.args.get("last", "")
    after = (
        context.authenticator.unseal_cursor(context.caller, last)[:MAX_NAME]
        if last.startswith(cursors.CURSOR_PREFIX)
        else start_after(context)
    )
    readable_patterns = patterns.compiled(tuple(context.caller.readable_patterns()))
    with context.searches.slot(context.caller.principal or context.audit.origin.client.network):
        page = catalog.page_of(context.registry, readable_patterns, after, size)
    sealed = page.next and page.hidden
    return Page(page.names, context.authenticator.seal_cursor(context.caller, page.next) if sealed else page.next)


def referrers(context: RequestContext) -> Response:
    """end-12a, end-12b: list the referrers of a manifest as an index; the subject itself need not exist."""
    check_subject(context.last_segment)
    artifact_type, last = context.request.args.get("artifactType", ""), context.request.args.get("last", "")
    if last:
        check_digest(last)
    page = context.registry.manifests.referrers(context.name, context.last_segment, artifact_type, last)
    descriptors = [_descriptor(referrer) for referrer in page.items]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors}
    response = json_response(index, media_type=OCI_INDEX)
    filters = {"artifactType": artifact_type} if artifact_type else {}
    if filters:
        response.add({"OCI-Filters-Applied": "artifactType"})
    if page.next:
        add_next_link(context, response, {**filters, "last": page.next})
    return response


def _descriptor(referrer: Referrer) -> dict[str, Any]:
    manifest = referrer.manifest
    descriptor: dict[str, Any] = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": manifest.size,
    }
    if referrer.artifact_type:
        descriptor["artifactType"] = referrer.artifact_type
    if referrer.annotations:
        descriptor["annotations"] = dict(referrer.annotations)
    return descriptor
