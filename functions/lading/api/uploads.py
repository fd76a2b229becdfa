"""Pushing blobs: at once, in one stream, in chunks, or by mounting what another repository has.

A session's Location ends in its id and in the offset at which the next chunk belongs: `uploads/<id>-<offset>`. A client
that saw no answer to a PATCH and sends it again uses the Location of before, and is refused (416) with the current one
instead of appending the same bytes twice. What is sent to a Location:

    request              at the current offset   at another one
    PATCH or PUT         appended                416, unless the body is empty
    … Content-Range      as it says: 416 unless it begins where the session ends, whatever the Location
    GET, HEAD, DELETE    the offset is not looked at

The id alone, as in Docker-Upload-UUID, is a Location for any offset.
"""

import re
from contextlib import suppress
from typing import Final

from lading.auth import patterns
from lading.auth.access import Action, Effect
from lading.http.ranges import chunk
from lading.http.request_context import RequestContext
from lading.http.responses import Response
from lading.registry.changes import Change
from lading.registry.content.blobs import PullPredicate
from lading.registry.content.uploads import CHUNK_MIN_LENGTH, Body
from lading.registry.errors import DIGEST_INVALID, UNAUTHORIZED, RegistryError
from lading.registry.names import check_digest, is_repository
from lading_storage.digests import ALGORITHMS
from lading_storage.records.core import Upload

_AT_OFFSET: Final = re.compile(r"(.+)-([0-9]{1,18})")


def start(context: RequestContext) -> Response:
    """end-4a, end-4b, end-11: begin a session; or push a blob in this one request; or mount one."""
    query = context.request.args
    if "mount" in query and (mounted := _mount(context)):
        return mounted
    if "digest" in query:
        return _push_monolithic(context)
    algorithm = query.get("digest-algorithm", "sha256")
    if algorithm not in ALGORITHMS:
        raise RegistryError(DIGEST_INVALID, {"algorithm": algorithm[:20], "supported": list(ALGORITHMS)})
    upload = context.registry.uploads.start(context.name, context.caller.principal, algorithm)
    context.audit.record_change(Change("upload-started", session=upload.id))
    return Response(202, {**_progress(context, upload), "OCI-Chunk-Min-Length": str(CHUNK_MIN_LENGTH)})


def status(context: RequestContext) -> Response:
    """end-13: where a session ends."""
    id, _ = _session(context)
    upload = context.registry.uploads.get(context.name, id, context.caller.principal)
    return Response(204, _progress(context, upload))


def append(context: RequestContext) -> Response:
    """end-5: add a chunk, or a stream, to a session."""
    id, offset = _session(context)
    upload = context.registry.uploads.append(context.name, id, _body(context, offset), context.caller.principal)
    context.audit.record_change(Change("upload-appended", session=upload.id))
    return Response(202, _progress(context, upload))


def finish(context: RequestContext) -> Response:
    """end-6: add the last chunk, or the whole blob, or nothing, and publish it."""
    digest = context.request.args.get("digest", "")
    check_digest(digest)
    id, offset = _session(context)
    context.registry.uploads.finish(context.name, id, digest, _body(context, offset), context.caller.principal)
    context.audit.record_change(Change("blob-pushed", digest, session=id))
    return _created(context, digest)


def cancel(context: RequestContext) -> Response:
    """end-14: end a session and forget its bytes."""
    id, _ = _session(context)
    context.registry.uploads.cancel(context.name, id, context.caller.principal)
    context.audit.record_change(Change("upload-cancelled", session=id))
    return Response(204)


def add_session_headers(context: RequestContext, upload: Upload, response: Response) -> None:
    """Add to the answer to a refused chunk where the session ends, so that the client can go on from there."""
    response.add(_progress(context, upload))


def _mount(context: RequestContext) -> Response | None:
    digest, source = context.request.args["mount"], context.request.args.get("from", "")
    check_digest(digest)
    if source and not is_repository(source):
        # No repository has such a name: like any blob that cannot be mounted, it is uploaded (end-11).
        return None
    link = context.registry.blobs.mount(context.name, digest, source, _sources(context, digest, source))
    if link is None:
        return None
    context.audit.record_change(Change("blob-mounted", digest, source=source))
    return _created(context, digest)


def _sources(context: RequestContext, digest: str, source: str) -> PullPredicate:
    """From which repositories the caller may mount: `source`, or, where it is "", any that a listing would show.

    Raises UNAUTHORIZED where the token was not asked for `source`: with one that was, no blob need be sent. A refusal
    shows in no answer, and so is written down here.
    """
    if not source:
        # Of any number of repositories nobody is asked one by one.
        return patterns.compiled(tuple(context.caller.readable_patterns())).matches
    verdict = context.caller.decide(Action.PULL, source).effect
    if verdict is Effect.UNDETERMINED:
        raise RegistryError(UNAUTHORIZED, {"scope": f"repository:{source}:pull"})
    if verdict is Effect.DENIED:
        context.audit.refused(Action.PULL.value, source, digest)
    return lambda repository: verdict is Effect.ALLOWED and repository == source


def _push_monolithic(context: RequestContext) -> Response:
    digest, principal = context.request.args["digest"], context.caller.principal
    check_digest(digest)
    body = _body(context)
    upload = context.registry.uploads.start(context.name, principal)
    try:
        context.registry.uploads.finish(context.name, upload.id, digest, body, principal)
    except RegistryError:
        # The client never learns the session's name, so nobody would go on with it; a wrong digest has ended it.
        with suppress(RegistryError):
            context.registry.uploads.cancel(context.name, upload.id, principal)
        raise
    context.audit.record_change(Change("blob-pushed", digest, session=upload.id))
    return _created(context, digest)


def _session(context: RequestContext) -> tuple[str, int | None]:
    """Return the id of the session that the path names, which may be none, and the offset, or None without one."""
    match = _AT_OFFSET.fullmatch(context.last_segment)
    return (match[1], int(match[2])) if match else (context.last_segment, None)


def _body(context: RequestContext, resume: int | None = None) -> Body:
    start, size = chunk(context.request.headers.get("Content-Range"), context.body.size)
    return Body(context.body.chunks(size), size, start, resume)


def _created(context: RequestContext, digest: str) -> Response:
    return Response(201, {"Location": context.location("blobs", digest), "Docker-Content-Digest": digest})


def _progress(context: RequestContext, upload: Upload) -> dict[str, str]:
    # With nothing received there is no last byte to name; clients expect `0-0` all the same.
    return {
        "Location": context.location("blobs", "uploads", f"{upload.id}-{upload.offset}"),
        "Range": f"0-{max(0, upload.offset - 1)}",
        "Docker-Upload-UUID": upload.id,
    }
