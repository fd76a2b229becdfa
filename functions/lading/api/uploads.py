"""Pushing blobs: in a single request, as a stream, in chunks, or by mounting a blob of another repository.

A session's Location ends in its id and the offset of the next chunk: `uploads/<id>-<offset>`. A client that received no
response to a PATCH and retries it uses the previous Location, and is refused (416) with the current one, instead of
appending the same bytes twice. Requests to a Location:

    request                  at the current offset   at another offset
    PATCH, PUT               appended                416, unless the body is empty
    … with Content-Range     appended if it begins where the session ends, else 416, whatever the Location
    GET, HEAD, DELETE        the offset is ignored

The id alone, as in Docker-Upload-UUID, is a Location for any offset.
"""

import re
from contextlib import suppress
from typing import Final

from lading.auth import patterns
from lading.auth.access import Action, Effect
from lading.http.ranges import chunk
from lading.http.responses import Response, error_response
from lading.registry.changes import Change
from lading.registry.content.blobs import PullPredicate
from lading.registry.content.uploads import CHUNK_MIN_LENGTH, Body
from lading.registry.errors import DIGEST_INVALID, UNAUTHORIZED, RegistryError
from lading.registry.names import check_digest, is_repository
from lading.surface.request_context import RequestContext
from lading_storage.digests import ALGORITHMS
from lading_storage.records.core import Upload

_AT_OFFSET: Final = re.compile(r"(.+)-([0-9]{1,18})")


def start(context: RequestContext) -> Response:
    """end-4a, end-4b, end-11: start an upload session, push a blob in this single request, or mount a blob."""
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
    """end-13: return the progress of a session."""
    id, _ = _session(context)
    upload = context.registry.uploads.get(context.name, id, context.caller.principal)
    return Response(204, _progress(context, upload))


def append(context: RequestContext) -> Response:
    """end-5: add a chunk, or a stream, to a session."""
    id, offset = _session(context)
    try:
        upload = context.registry.uploads.append(context.name, id, _body(context, offset), context.caller.principal)
    except RegistryError as error:
        return _refused(context, error)
    context.audit.record_change(Change("upload-appended", session=upload.id))
    return Response(202, _progress(context, upload))


def finish(context: RequestContext) -> Response:
    """end-6: add the last chunk, the whole blob or nothing, and publish the blob."""
    digest = context.request.args.get("digest", "")
    check_digest(digest)
    id, offset = _session(context)
    try:
        context.registry.uploads.finish(context.name, id, digest, _body(context, offset), context.caller.principal)
    except RegistryError as error:
        return _refused(context, error)
    context.audit.record_change(Change("blob-pushed", digest, session=id))
    return _created(context, digest)


def cancel(context: RequestContext) -> Response:
    """end-14: cancel a session and discard its bytes."""
    id, _ = _session(context)
    context.registry.uploads.cancel(context.name, id, context.caller.principal)
    context.audit.record_change(Change("upload-cancelled", session=id))
    return Response(204)


def _refused(context: RequestContext, error: RegistryError) -> Response:
    """Return the response to a refused chunk with the progress of its session, so that the client can continue there.

    Raises the error again where it names no session.
    """
    if error.upload is None:
        raise error
    response = error_response(error)
    response.add(_progress(context, error.upload))
    return response


def _mount(context: RequestContext) -> Response | None:
    digest, source = context.request.args["mount"], context.request.args.get("from", "")
    check_digest(digest)
    if source and not is_repository(source):
        # No repository has this name, so the blob cannot be mounted and is uploaded instead (end-11).
        return None
    link = context.registry.blobs.mount(context.name, digest, source, _sources(context, digest, source))
    if link is None:
        return None
    context.audit.record_change(Change("blob-mounted", digest, source=source))
    return _created(context, digest)


def _sources(context: RequestContext, digest: str, source: str) -> PullPredicate:
    """Return the predicate for repositories from which the caller may mount.

    These are `source`, or, where it is "", all that a listing would contain. A denial does not change the response,
    so it is recorded here.

    Raises:
        RegistryError: UNAUTHORIZED where the token does not cover `source`: with one that does, the client need not
            upload the blob.
    """
    if not source:
        # Patterns, since there may be any number of repositories to decide about.
        return patterns.compiled(tuple(context.caller.readable_patterns())).matches
    effect = context.caller.decide(Action.PULL, source).effect
    if effect is Effect.UNDETERMINED:
        raise RegistryError(UNAUTHORIZED, {"scope": f"repository:{source}:pull"})
    if effect is Effect.DENIED:
        context.audit.refused(Action.PULL.value, source, digest)
    return lambda repository: effect is Effect.ALLOWED and repository == source


def _push_monolithic(context: RequestContext) -> Response:
    digest, principal = context.request.args["digest"], context.caller.principal
    check_digest(digest)
    body = _body(context)
    upload = context.registry.uploads.start(context.name, principal)
    try:
        context.registry.uploads.finish(context.name, upload.id, digest, body, principal)
    except RegistryError:
        # The client does not know the session's id, so it could not continue it. A wrong digest has already ended it.
        with suppress(RegistryError):
            context.registry.uploads.cancel(context.name, upload.id, principal)
        raise
    context.audit.record_change(Change("blob-pushed", digest, session=upload.id))
    return _created(context, digest)


def _session(context: RequestContext) -> tuple[str, int | None]:
    """Return the session id in the path, of a session that may not exist, and the offset, or None without one."""
    match = _AT_OFFSET.fullmatch(context.last_segment)
    return (match[1], int(match[2])) if match else (context.last_segment, None)


def _body(context: RequestContext, resume: int | None = None) -> Body:
    start, size = chunk(context.request.headers.get("Content-Range"), context.body.size)
    return Body(context.body.chunks(size), size, start, resume)


def _created(context: RequestContext, digest: str) -> Response:
    return Response(201, {"Location": context.location("blobs", digest), "Docker-Content-Digest": digest})


def _progress(context: RequestContext, upload: Upload) -> dict[str, str]:
    # With nothing received there is no last byte; clients expect `0-0` all the same.
    return {
        "Location": context.location("blobs", "uploads", f"{upload.id}-{upload.offset}"),
        "Range": f"0-{max(0, upload.offset - 1)}",
        "Docker-Upload-UUID": upload.id,
    }
