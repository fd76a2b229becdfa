"""Pulling, pushing and deleting manifests."""

from functions.api.answers import Answer
from functions.api.base import Call
from functions.registry.errors import MANIFEST_TOO_LARGE, TAGS_TOO_MANY, RegistryError
from functions.registry.manifests import MAX_MANIFEST, Put
from functions.registry.names import check_tag, names_digest

MOST_TAGS = 100
"""In one push; the distribution-spec asks for at least 10."""


def get(call: Call) -> Answer:
    """end-3: a manifest by tag or digest. Every client takes every type today, so Accept is not asked."""
    found = call.registry.manifests.find(call.name, call.last)
    if call.request.method == "GET":
        call.registry.pulls.note(call.name, found.digest)
    headers = {
        "Docker-Content-Digest": found.digest,
        "ETag": f'"{found.digest}"',
        "Content-Type": found.media_type,
    }
    if call.client_has(found.digest):
        return Answer(304, headers)
    content = b"" if call.request.method == "HEAD" else call.registry.manifests.stream(found)
    return Answer(200, headers, content, found.size)


def put(call: Call) -> Answer:
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
    location = call.location("manifests", manifest.digest)
    answer = Answer(201, {"Location": location, "Docker-Content-Digest": manifest.digest})
    if manifest.subject:
        answer.add({"OCI-Subject": manifest.subject})
    for tag in tags:
        answer.add({"OCI-Tag": tag})
    return answer


def delete(call: Call) -> Answer:
    """end-9: remove a manifest with its tags, or one tag."""
    if names_digest(call.last):
        call.registry.deletion.manifest(call.name, call.last, call.act("delete"))
    else:
        call.registry.tags.delete(call.name, call.last, call.act("delete"))
    return Answer(202)
