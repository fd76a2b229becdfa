"""Pulling, pushing and deleting manifests."""

from collections.abc import Iterator

from lading.api import history
from lading.http.preconditions import precondition_of, require_match
from lading.http.responses import Response
from lading.leader import step_down
from lading.registry.changes import Change
from lading.registry.content.manifests import MAX_MANIFEST, Put
from lading.registry.errors import MANIFEST_TOO_LARGE, MANIFEST_UNKNOWN, TOO_MANY_TAGS, RegistryError
from lading.registry.names import check_tag, is_digest_reference, parse_as_of
from lading.surface.request_context import RequestContext
from lading_storage.records.core import Manifest, Tag

MAX_TAGS = 100
"""Maximum tags in one push; the distribution-spec requires at least 10."""


def get(context: RequestContext) -> Response:
    """end-3: return a manifest by tag or digest. The Accept header is ignored: all present clients accept all types."""
    only_present = False
    if parse_as_of(context.last_segment):
        # A reference as of a time needs a search through the tag's history, not a single read.
        step_down()
        # Clients request a token with the right to pull only, so an authenticated caller need not have that to push.
        only_present = not context.caller.principal and not history.may_see_all(context)
    # Before a push clients send HEAD and skip content that exists, so it must be intact. A pull returns a manifest even
    # if some of its content is damaged.
    intact = context.request.method == "HEAD"
    manifest = context.registry.manifests.find(
        context.name, context.last_segment, intact=intact, only_present=only_present
    )
    require_match(context.request, manifest.digest)
    if context.request.method == "GET" and context.registry.last_pulls.is_due(context.name, manifest.digest):
        # Written before the response: afterwards Cloud Run allocates no CPU.
        step_down()
        context.registry.last_pulls.record_pull(context.name, manifest.digest)
    headers = {
        "Docker-Content-Digest": manifest.digest,
        "ETag": f'"{manifest.digest}"',
        "Content-Type": manifest.media_type,
    }
    if context.client_has_digest(manifest.digest):
        return Response(304, headers)
    content = b"" if context.request.method == "HEAD" else _content(context, manifest)
    return Response(200, headers, content, manifest.size)


def _content(context: RequestContext, manifest: Manifest | Tag) -> bytes | Iterator[bytes]:
    if manifest.content is None:
        # The content is in another record, or in an object of the blob store.
        step_down()
    return context.registry.manifests.stream(manifest)


def put(context: RequestContext) -> Response:
    """end-7: push a manifest by tag or digest, and point the tags of the parameter `tag` to it."""
    by_digest = is_digest_reference(context.last_segment)
    tags = context.request.args.getlist("tag")
    if len(tags) > MAX_TAGS:
        raise RegistryError(TOO_MANY_TAGS, {"limit": MAX_TAGS})
    for tag in tags:
        check_tag(tag)
    content = context.body.read(MAX_MANIFEST, digest_checked=by_digest)
    if content is None:
        raise RegistryError(MANIFEST_TOO_LARGE, {"limit": MAX_MANIFEST})
    put = Put(
        content=content,
        content_type=context.request.headers.get("Content-Type", ""),
        digest=context.last_segment if by_digest else "",
        tags=tags if by_digest else [context.last_segment, *tags],
        condition=precondition_of(context.request),
    )
    manifest = context.registry.manifests.put(context.name, put, context.change_context("push"))
    context.audit.record_change(Change("manifest-pushed", manifest.digest, tuple(dict.fromkeys(put.tags))))
    location = context.location("manifests", manifest.digest)
    headers = {"Location": location, "Docker-Content-Digest": manifest.digest, "ETag": f'"{manifest.digest}"'}
    response = Response(201, headers)
    if manifest.subject:
        response.add({"OCI-Subject": manifest.subject})
    for tag in tags:
        response.add({"OCI-Tag": tag})
    return response


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
