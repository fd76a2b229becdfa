"""Pulling, pushing and deleting manifests."""

from collections.abc import Iterator

from functions.api import history
from functions.api.answers import Answer
from functions.api.base import Call
from functions.api.preconditions import precondition_of, require_match
from functions.desk import leave
from functions.registry.changes import Change
from functions.registry.errors import MANIFEST_TOO_LARGE, MANIFEST_UNKNOWN, TAGS_TOO_MANY, RegistryError
from functions.registry.manifests import MAX_MANIFEST, Put
from functions.registry.names import check_tag, moment_of, names_digest
from storage.records import Manifest, Tag

MOST_TAGS = 100
"""In one push; the distribution-spec asks for at least 10."""


def get(call: Call) -> Answer:
    """end-3: a manifest by tag or digest. Every client takes every type today, so Accept is not asked."""
    present = False
    if moment_of(call.last):
        # As of a time: a search through the tag's history, not one read.
        leave()
        # A client asks for the right to pull alone, so a caller with a name need not show that to push.
        present = not call.caller.principal and not history.sees_all(call)
    # Clients that push ask by HEAD: what they are told is there, they do not push, so it must be whole. What is pulled
    # is taken as far as it is good.
    whole = call.request.method == "HEAD"
    found = call.registry.manifests.find(call.name, call.last, whole=whole, present=present)
    require_match(call, found.digest)
    if call.request.method == "GET" and call.registry.pulls.is_due(call.name, found.digest):
        # Written before the answer: afterwards, Cloud Run gives no processor's time.
        leave()
        call.registry.pulls.note(call.name, found.digest)
    headers = {
        "Docker-Content-Digest": found.digest,
        "ETag": f'"{found.digest}"',
        "Content-Type": found.media_type,
    }
    if call.client_has(found.digest):
        return Answer(304, headers)
    return Answer(200, headers, b"" if call.request.method == "HEAD" else _content(call, found), found.size)


def _content(call: Call, found: Manifest | Tag) -> bytes | Iterator[bytes]:
    if found.content is None:
        # Another read, or an object of the blob store.
        leave()
    return call.registry.manifests.stream(found)


def put(call: Call) -> Answer:
    """end-7: push a manifest by tag or digest, and let the tags of `?tag=` name it."""
    by_digest = names_digest(call.last)
    tags = call.request.args.getlist("tag")
    if len(tags) > MOST_TAGS:
        raise RegistryError(TAGS_TOO_MANY, {"limit": MOST_TAGS})
    for tag in tags:
        check_tag(tag)
    content = call.body.read(MAX_MANIFEST, checked=by_digest)
    if content is None:
        raise RegistryError(MANIFEST_TOO_LARGE, {"limit": MAX_MANIFEST})
    put = Put(
        content=content,
        content_type=call.request.headers.get("Content-Type", ""),
        digest=call.last if by_digest else "",
        tags=tags if by_digest else [call.last, *tags],
        condition=precondition_of(call),
    )
    manifest = call.registry.manifests.put(call.name, put, call.act("push"))
    call.audit.did(Change("manifest-pushed", manifest.digest, tuple(dict.fromkeys(put.tags))))
    location = call.location("manifests", manifest.digest)
    headers = {"Location": location, "Docker-Content-Digest": manifest.digest, "ETag": f'"{manifest.digest}"'}
    answer = Answer(201, headers)
    if manifest.subject:
        answer.add({"OCI-Subject": manifest.subject})
    for tag in tags:
        answer.add({"OCI-Tag": tag})
    return answer


def delete(call: Call) -> Answer:
    """end-9: remove a manifest with its tags, or one tag, unless If-Match or If-None-Match forbids it."""
    if names_digest(call.last, MANIFEST_UNKNOWN):
        _delete_manifest(call)
    else:
        digest = call.registry.tags.delete(call.name, call.last, call.act("delete"), precondition_of(call))
        call.audit.did(Change("tag-deleted", digest, (call.last,)))
    return Answer(202)


def _delete_manifest(call: Call) -> None:
    """Delete a manifest, and report all that went with it, also where the deletion fails halfway."""
    gone: list[Tag | Manifest] = []
    try:
        call.registry.deletion.manifest(call.name, call.last, call.act("delete"), gone.append, precondition_of(call))
    finally:
        if gone:
            tags = tuple(each.id for each in gone if isinstance(each, Tag))
            digests = tuple(each.id for each in gone if isinstance(each, Manifest))
            root = call.last if call.last in digests else ""
            also = tuple(digest for digest in digests if digest != root)
            call.audit.did(Change("manifest-deleted", root, tags, also))
