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

from functions.api.answers import Answer
from functions.api.base import Call
from functions.api.ranges import chunk
from functions.auth import patterns
from functions.auth.access import Action, Verdict
from functions.registry.blobs import PullTest
from functions.registry.changes import Change
from functions.registry.errors import DIGEST_INVALID, UNAUTHORIZED, RegistryError
from functions.registry.names import check_digest, is_repository
from functions.registry.uploads import CHUNK_MIN_LENGTH, Body
from storage.digests import ALGORITHMS
from storage.records import Upload

_AT_OFFSET: Final = re.compile(r"(.+)-([0-9]{1,18})")


def start(call: Call) -> Answer:
    """end-4a, end-4b, end-11: begin a session; or push a blob in this one request; or mount one."""
    query = call.request.args
    if "mount" in query and (mounted := _mount(call)):
        return mounted
    if "digest" in query:
        return _push_at_once(call)
    algorithm = query.get("digest-algorithm", "sha256")
    if algorithm not in ALGORITHMS:
        raise RegistryError(DIGEST_INVALID, {"algorithm": algorithm[:20], "supported": list(ALGORITHMS)})
    upload = call.registry.uploads.start(call.name, call.caller.principal, algorithm)
    call.audit.did(Change("upload-started", session=upload.id))
    return Answer(202, {**_progress(call, upload), "OCI-Chunk-Min-Length": str(CHUNK_MIN_LENGTH)})


def status(call: Call) -> Answer:
    """end-13: where a session ends."""
    id, _ = _session(call)
    upload = call.registry.uploads.get(call.name, id, call.caller.principal)
    return Answer(204, _progress(call, upload))


def append(call: Call) -> Answer:
    """end-5: add a chunk, or a stream, to a session."""
    id, offset = _session(call)
    upload = call.registry.uploads.append(call.name, id, _body(call, offset), call.caller.principal)
    call.audit.did(Change("upload-appended", session=upload.id))
    return Answer(202, _progress(call, upload))


def finish(call: Call) -> Answer:
    """end-6: add the last chunk, or the whole blob, or nothing, and publish it."""
    digest = call.request.args.get("digest", "")
    check_digest(digest)
    id, offset = _session(call)
    call.registry.uploads.finish(call.name, id, digest, _body(call, offset), call.caller.principal)
    call.audit.did(Change("blob-pushed", digest, session=id))
    return _created(call, digest)


def cancel(call: Call) -> Answer:
    """end-14: end a session and forget its bytes."""
    id, _ = _session(call)
    call.registry.uploads.cancel(call.name, id, call.caller.principal)
    call.audit.did(Change("upload-cancelled", session=id))
    return Answer(204)


def refused(call: Call, upload: Upload, answer: Answer) -> None:
    """Add to the answer to a refused chunk where the session ends, so that the client can go on from there."""
    answer.add(_progress(call, upload))


def _mount(call: Call) -> Answer | None:
    digest, source = call.request.args["mount"], call.request.args.get("from", "")
    check_digest(digest)
    if source and not is_repository(source):
        # No repository has such a name: like any blob that cannot be mounted, it is uploaded (end-11).
        return None
    link = call.registry.blobs.mount(call.name, digest, source, _sources(call, digest, source))
    if link is None:
        return None
    call.audit.did(Change("blob-mounted", digest, source=source))
    return _created(call, digest)


def _sources(call: Call, digest: str, source: str) -> PullTest:
    """From which repositories the caller may mount: `source`, or, where it is "", any that a listing would show.

    Raises UNAUTHORIZED where the token was not asked for `source`: with one that was, no blob need be sent. A refusal
    shows in no answer, and so is written down here.
    """
    if not source:
        # Of any number of repositories nobody is asked one by one.
        return patterns.compiled(tuple(call.caller.readable())).matches
    verdict = call.caller.decide(Action.PULL, source).verdict
    if verdict is Verdict.UNASKED:
        raise RegistryError(UNAUTHORIZED, {"scope": f"repository:{source}:pull"})
    if verdict is Verdict.DENIED:
        call.audit.refused(Action.PULL.value, source, digest)
    return lambda repository: verdict is Verdict.ALLOWED and repository == source


def _push_at_once(call: Call) -> Answer:
    digest, principal = call.request.args["digest"], call.caller.principal
    check_digest(digest)
    body = _body(call)
    upload = call.registry.uploads.start(call.name, principal)
    try:
        call.registry.uploads.finish(call.name, upload.id, digest, body, principal)
    except RegistryError:
        # The client never learns the session's name, so nobody would go on with it; a wrong digest has ended it.
        with suppress(RegistryError):
            call.registry.uploads.cancel(call.name, upload.id, principal)
        raise
    call.audit.did(Change("blob-pushed", digest, session=upload.id))
    return _created(call, digest)


def _session(call: Call) -> tuple[str, int | None]:
    """Return the id of the session that the path names, which may be none, and the offset, or None without one."""
    match = _AT_OFFSET.fullmatch(call.last)
    return (match[1], int(match[2])) if match else (call.last, None)


def _body(call: Call, resume: int | None = None) -> Body:
    start, size = chunk(call.request.headers.get("Content-Range"), call.body.size)
    return Body(call.body.chunks(size), size, start, resume)


def _created(call: Call, digest: str) -> Answer:
    return Answer(201, {"Location": call.location("blobs", digest), "Docker-Content-Digest": digest})


def _progress(call: Call, upload: Upload) -> dict[str, str]:
    # With nothing received there is no last byte to name; clients expect `0-0` all the same.
    return {
        "Location": call.location("blobs", "uploads", f"{upload.id}-{upload.offset}"),
        "Range": f"0-{max(0, upload.offset - 1)}",
        "Docker-Upload-UUID": upload.id,
    }
