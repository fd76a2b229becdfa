"""Pulling, pushing and deleting manifests."""

from collections.abc import Iterator

from lading.api import history
from lading.http.preconditions import precondition_of, require_match
from lading.http.request_context import RequestContext
from lading.http.responses import Response
from lading.registry.changes import Change
from lading.registry.content.manifests import MAX_MANIFEST, Put
from lading.registry.errors import MANIFEST_TOO_LARGE, MANIFEST_UNKNOWN, TOO_MANY_TAGS, RegistryError
from lading.registry.names import check_tag, is_digest_reference, parse_as_of
from lading.server.leader import step_down
from lading_storage.records.core import Manifest, Tag

MAX_TAGS = 100
"""In one push; the distribution-spec asks for at least 10."""


def get(context: RequestContext) -> Response:
    """end-3: a manifest by tag or digest. Every client takes every type today, so Accept is not asked."""
    present = False
    if parse_as_of(context.last_segment):
        # As of a time: a search through the tag's history, not one read.
        step_down()
        # A client asks for the right to pull alone, so a caller with a name need not show that to push.
        present = not context.caller.principal and not history.may_see_all(context)
    # Clients that push ask by HEAD: what they are told is there, they do not push, so it must be whole. What is pulled
    # is taken as far as it is good.
    whole = context.request.method == "HEAD"
    found = context.registry.manifests.find(context.name, context.last_segment, intact=whole, only_present=present)
    require_match(context, found.digest)
    if context.request.method == "GET" and context.registry.last_pulls.is_due(context.name, found.digest):
        # Written before the answer: afterwards, Cloud Run gives no processor's time.
        step_down()
        context.registry.last_pulls.record_pull(context.name, found.digest)
    headers = {
        "Docker-Content-Digest": found.digest,
        "ETag": f'"{found.digest}"',
        "Content-Type": found.media_type,
    }
    if context.client_has_digest(found.digest):
        return Response(304, headers)
    return Response(200, headers, b"" if context.request.method == "HEAD" else _content(context, found), found.size)


def _content(context: RequestContext, found: Manifest | Tag) -> bytes | Iterator[bytes]:
    if found.content is None:
        # Another read, or an object of the blob store.
        step_down()
    return context.registry.manifests.stream(found)


def put(context: RequestContext) -> Response:
    """end-7: push a manifest by tag or digest, and let the tags of `?tag=` name it."""
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
        condition=precondition_of(context),
    )
    manifest = context.registry.manifests.put(context.name, put, context.change_context("push"))
    context.audit.record_change(Change("manifest-pushed", manifest.digest, tuple(dict.fromkeys(put.tags))))
    location = context.location("manifests", manifest.digest)
    headers = {"Location": location, "Docker-Content-Digest": manifest.digest, "ETag": f'"{manifest.digest}"'}
    answer = Response(201, headers)
    if manifest.subject:
        answer.add({"OCI-Subject": manifest.subject})
    for tag in tags:
        answer.add({"OCI-Tag": tag})
    return answer


def delete(context: RequestContext) -> Response:
    """end-9: remove a manifest with its tags, or one tag, unless If-Match or If-None-Match forbids it."""
    if is_digest_reference(context.last_segment, MANIFEST_UNKNOWN):
        _delete_manifest(context)
    else:
        digest = context.registry.tags.delete(
            context.name, context.last_segment, context.change_context("delete"), precondition_of(context)
        )
        context.audit.record_change(Change("tag-deleted", digest, (context.last_segment,)))
    return Response(202)


def _delete_manifest(context: RequestContext) -> None:
    """Delete a manifest, and report all that went with it, also where the deletion fails halfway."""
    gone: list[Tag | Manifest] = []
    try:
        context.registry.deletion.manifest(
            context.name, context.last_segment, context.change_context("delete"), gone.append, precondition_of(context)
        )
    finally:
        if gone:
            tags = tuple(each.id for each in gone if isinstance(each, Tag))
            digests = tuple(each.id for each in gone if isinstance(each, Manifest))
            root = context.last_segment if context.last_segment in digests else ""
            also = tuple(digest for digest in digests if digest != root)
            context.audit.record_change(Change("manifest-deleted", root, tags, also))
