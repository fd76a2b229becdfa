"""Pulling, pushing and deleting manifests."""

from werkzeug.wrappers import Response

from functions.api.base import Call
from functions.registry.errors import MANIFEST_TOO_LARGE, TAGS_TOO_MANY, RegistryError
from functions.registry.manifests import MAX_MANIFEST, Put
from functions.registry.names import check_tag, names_digest

MOST_TAGS = 100
"""In one push; the distribution-spec asks for at least 10."""


def get(call: Call) -> Response:
    """end-3: a manifest by tag or digest. Every client takes every type today, so Accept is not asked."""
    found = call.registry.manifests.find(call.name, call.last)
    if call.request.method == "GET":
        call.registry.pulls.note(call.name, found.digest)
    headers = {
        "Docker-Content-Digest": found.digest,
        "ETag": f'"{found.digest}"',
        "Content-Type": found.media_type,
        "Content-Length": str(found.size),
    }
    if call.request.if_none_match.contains_weak(found.digest):
        del headers["Content-Length"]
        return Response(status=304, headers=headers)
    content = [] if call.request.method == "HEAD" else call.registry.manifests.pieces(found)
    return Response(content, headers=headers)


def put(call: Call) -> Response:
    """end-7: push a manifest by tag or digest, and let the tags of `?tag=` name it."""
    by_digest = names_digest(call.last)
    tags = call.request.args.getlist("tag")
    if len(tags) > MOST_TAGS:
        raise RegistryError(TAGS_TOO_MANY, {"limit": MOST_TAGS})
    for tag in tags:
        check_tag(tag)
    content = call.body.read(MAX_MANIFEST)
    if content is None:
        raise RegistryError(MANIFEST_TOO_LARGE, {"limit": MAX_MANIFEST})
    put = Put(
        content=content,
        content_type=call.request.headers.get("Content-Type", ""),
        digest=call.last if by_digest else "",
        tags=tags if by_digest else [call.last, *tags],
    )
    manifest = call.registry.manifests.put(call.name, put, call.act("push"))
    response = Response(status=201)
    response.headers["Location"] = call.location("manifests", manifest.digest)
    response.headers["Docker-Content-Digest"] = manifest.digest
    if manifest.subject:
        response.headers["OCI-Subject"] = manifest.subject
    for tag in tags:
        response.headers.add("OCI-Tag", tag)
    return response


def delete(call: Call) -> Response:
    """end-9: remove a manifest with its tags, or one tag."""
    if names_digest(call.last):
        call.registry.deletion.manifest(call.name, call.last, call.act("delete"))
    else:
        call.registry.tags.delete(call.name, call.last, call.act("delete"))
    return Response(status=202)
