"""Pulling, pushing and deleting manifests."""

from functools import partial

from lading.api import history
from lading.http.preconditions import match_of, precondition_of
from lading.http.responses import Response, warning_header, with_warnings
from lading.registry.changes import Change
from lading.registry.errors import MANIFEST_UNKNOWN
from lading.registry.names import is_digest_reference
from lading.registry.pull import PullRequest
from lading.registry.push import PushRequest
from lading.surface.request_context import RequestContext
from lading_storage.records.core import Manifest, Tag


def get(context: RequestContext) -> Response:
    """end-3: return a manifest by tag or digest. The Accept header is ignored: all present clients accept all types."""
    is_head = context.request.method == "HEAD"
    manifest, warning = context.registry.pull(
        context.name,
        PullRequest(
            context.last_segment,
            is_head,
            match_of(context.request),
            partial(history.may_see_past, context),
            context.change_context("pull"),
        ),
    )
    headers = {
        "Docker-Content-Digest": manifest.digest,
        "ETag": f'"{manifest.digest}"',
        "Content-Type": manifest.media_type,
    }
    if warning:
        headers["Warning"] = warning_header(warning)
    if context.client_has_digest(manifest.digest):
        return Response(304, headers)
    return Response(200, headers, b"" if is_head else context.registry.manifests.stream(manifest), manifest.size)


def put(context: RequestContext) -> Response:
    """end-7: push a manifest by tag or digest, and point the tags of the parameter `tag` to it."""
    request = PushRequest(
        reference=context.last_segment,
        read=context.body.read,
        content_type=context.request.headers.get("Content-Type", ""),
        tags=context.request.args.getlist("tag"),
        condition=precondition_of(context.request),
    )
    change = context.change_context("push")
    pushed = context.registry.push(context.name, request, change)
    context.audit.record_change(pushed.change)
    manifest = pushed.manifest
    location = context.location("manifests", manifest.digest)
    headers = {"Location": location, "Docker-Content-Digest": manifest.digest, "ETag": f'"{manifest.digest}"'}
    response = Response(201, headers)
    if manifest.subject:
        response.add({"OCI-Subject": manifest.subject})
    for tag in request.tags:
        response.add({"OCI-Tag": tag})
    return with_warnings(response, (change.warnings or {}).values())


def delete(context: RequestContext) -> Response:
    """end-9: delete a manifest with its tags, or one tag, if the preconditions hold (If-Match, If-None-Match)."""
    if is_digest_reference(context.last_segment, MANIFEST_UNKNOWN):
        _delete_manifest(context)
    else:
        digest = context.registry.tags.delete(
            context.name, context.last_segment, context.change_context("delete"), precondition_of(context.request)
        )
        context.audit.record_change(Change("tag-deleted", digest, (context.last_segment,)))
    return Response(202)


def _delete_manifest(context: RequestContext) -> None:
    """Delete a manifest, and record all that was deleted with it, also where the deletion fails halfway."""
    deleted: list[Tag | Manifest] = []
    try:
        context.registry.deletion.manifest(
            context.name,
            context.last_segment,
            context.change_context("delete"),
            deleted.append,
            precondition_of(context.request),
        )
    finally:
        if deleted:
            tags = tuple(each.id for each in deleted if isinstance(each, Tag))
            digests = tuple(each.id for each in deleted if isinstance(each, Manifest))
            root = context.last_segment if context.last_segment in digests else ""
            also = tuple(digest for digest in digests if digest != root)
            context.audit.record_change(Change("manifest-deleted", root, tags, also))
