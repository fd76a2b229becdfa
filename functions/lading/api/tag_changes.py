"""Changes of tags and repositories that the distribution API does not have, for the commands over HTTP.

    POST   /v2/_lading/<name>/tag         {"reference": "v1", "tag": "prod"}
    POST   /v2/_lading/<name>/rollback    {"tag": "prod", "digest": "sha256:…"}, or instead of the digest "at", a time
    POST   /v2/_lading/<name>/undelete    {"tag": "v1", "force": false} | {"digest": "sha256:…"} | {}
    DELETE /v2/_lading/<name>/repository

Digests may be short. A retry of each request ends in the same state, so that a rollback takes no number of events: they
have other numbers after it.
"""

import json
from datetime import datetime
from typing import Any, Final

from lading.api.inspection import named_digest
from lading.auth.access import Action
from lading.http.responses import Response, json_response, with_warnings
from lading.registry.change_context import ChangeContext
from lading.registry.changes import Change, Kind
from lading.registry.errors import DENIED, NOT_DELETED, REQUEST_INVALID, RegistryError
from lading.registry.lifecycle.restored import restored_tag, was_restored
from lading.registry.names import check_digest_prefix, check_tag
from lading.surface.request_context import RequestContext

MAX_BODY: Final = 64 * 1024


def tag(context: RequestContext) -> Response:
    """tag: set a tag to what another tag or a digest of the same repository names."""
    fields = _fields(context, {"reference", "tag"})
    name, reference = _text(fields, "tag"), named_digest(context, _text(fields, "reference"))
    change = context.change_context("tag")
    digest = context.registry.push.tag(context.name, reference, name, change)
    return _tag_set(context, name, digest, change)


def rollback(context: RequestContext) -> Response:
    """rollback: set a tag to a manifest that it named before."""
    fields = _fields(context, {"tag", "digest", "at"})
    name = _text(fields, "tag")
    check_tag(name)
    rollback, change = context.registry.rollback, context.change_context("rollback")
    if ("digest" in fields) == ("at" in fields):
        raise _invalid("one of digest and at is needed")
    if "at" in fields:
        digest = rollback.to_time(context.name, name, _time(fields["at"]), change)
    else:
        prefix = _text(fields, "digest")
        check_digest_prefix(prefix)
        digest = context.registry.inspection.find_digest(context.name, prefix)
        rollback.to_digest(context.name, name, digest, change)
    return _tag_set(context, name, digest, change, "tag-rolled-back")


def undelete(context: RequestContext) -> Response:
    """undelete: restore a deleted tag, a manifest with what was deleted with it, or a repository.

    A request that is sent again after it succeeded finds nothing deleted, and what it restored live: it succeeds again.
    """
    fields, change = _fields(context, {"tag", "digest", "force"}), context.change_context("restore")
    if "tag" in fields and "digest" in fields:
        raise _invalid("one of tag and digest is needed, or neither for the repository")
    if "digest" in fields:
        prefix = _text(fields, "digest")
        check_digest_prefix(prefix)
        digest = context.registry.inspection.find_deleted_digest(context.name, prefix)
        restored = _restore_manifest(context, digest, change)
    elif "tag" in fields:
        name, force = _text(fields, "tag"), fields.get("force") is True
        check_tag(name)
        if force and not context.caller.decide(Action.PUSH, context.name).allowed:
            # It moves a tag that exists.
            raise RegistryError(DENIED, {"reason": "force needs the right to push"})
        restored = _restore_tag(context, name, change, force=force)
    else:
        restored = _restore_repository(context, change)
    context.audit.record_change(restored)
    return with_warnings(json_response({}), (change.warnings or {}).values())


def _restore_manifest(context: RequestContext, digest: str, change: ChangeContext) -> Change:
    restore = context.registry.undelete
    try:
        restored = restore.manifest(context.name, digest, change)
    except RegistryError as error:
        if error.descriptor is not NOT_DELETED or not was_restored(context.registry.metadata, context.name, digest):
            raise
        restored = []
    return Change("manifest-restored", digest, also=tuple(each for each in restored if each != digest))


def _restore_tag(context: RequestContext, name: str, change: ChangeContext, *, force: bool) -> Change:
    restore = context.registry.undelete
    try:
        digest = restore.tag(context.name, name, change, force=force)
    except RegistryError as error:
        digest = restored_tag(context.registry.metadata, context.name, name)
        if error.descriptor is not NOT_DELETED or not digest:
            raise
    return Change("tag-restored", digest, (name,))


def _restore_repository(context: RequestContext, change: ChangeContext) -> Change:
    restore = context.registry.undelete
    try:
        restore.repository(context.name, change)
    except RegistryError as error:
        if error.descriptor is not NOT_DELETED or not was_restored(context.registry.metadata, context.name):
            raise
    return Change("repository-restored")


def delete_repository(context: RequestContext) -> Response:
    """repository: delete all tags and manifests of a repository."""
    context.registry.deletion.repository(context.name, context.change_context("delete"))
    context.audit.record_change(Change("repository-deleted"))
    return Response(202)


def _tag_set(context: RequestContext, tag: str, digest: str, change: ChangeContext, kind: Kind = "tag-set") -> Response:
    context.audit.record_change(Change(kind, digest, (tag,)))
    response = json_response({"repository": context.name, "tag": tag, "digest": digest})
    return with_warnings(response, (change.warnings or {}).values())


def _fields(context: RequestContext, known: set[str]) -> dict[str, Any]:
    """Return the JSON object in the body. Raises REQUEST_INVALID."""
    content = context.body.read(MAX_BODY)
    try:
        fields = json.loads(content or b"")
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise _invalid(f"the body is no JSON object of at most {MAX_BODY} bytes")
    if unknown := sorted(fields.keys() - known):
        raise _invalid(f"there is no {unknown[0][:80]}")
    return fields


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise _invalid(f"{name} is needed, a string")
    return value


def _time(value: Any) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        time = None
    if time is None or time.tzinfo is None:
        raise _invalid("at is a time such as 2026-11-01T12:00:00Z")
    return time


def _invalid(reason: str) -> RegistryError:
    return RegistryError(REQUEST_INVALID, {"reason": reason})
