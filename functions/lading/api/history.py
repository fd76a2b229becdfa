"""The history of tags, an API of Lading's own.

    GET /v2/_lading/<name>/history             the events of all tags of a repository, newest first
    GET /v2/_lading/<name>/history?tag=<tag>   those of one tag

A caller who may push to the repository sees the whole history, also of deleted tags and of a deleted repository, with
the principal of each event. A caller who may only pull, as any client may from a public repository, sees no more than a
listing of tags reveals: the events of existing tags, without principals, and 404 for a deleted repository. With a token
its scope decides.

    {"name": "team/app", "moves": [
        {"tag": "v1", "number": 2, "digest": "sha256:…", "before": "sha256:…", "action": "push",
         "by": "alice@example.com", "request": "4bf9…", "moved": "2026-11-01T12:00:00.000000+00:00"}], "next": ""}

`digest` is null where the tag was deleted, `before` where it was new, and `by` where it is hidden or the caller was
anonymous. Paginated like tags: `n`, `last`, and a Link, whose `last` is in `next` as well; a page of fewer than `n`
events can come with a Link.
"""

from typing import Any

from lading.auth.access import Action
from lading.http.responses import Response, json_response
from lading.registry.errors import QUERY_INVALID, RegistryError
from lading.registry.names import check_tag
from lading.registry.tags.history import is_event_id
from lading.surface.request_context import RequestContext, add_next_link, page_size, start_after
from lading_storage.records.deleted import TagEvent


def tag_history(context: RequestContext) -> Response:
    """history: return a page of events, newest first."""
    size, tag, last = page_size(context), context.request.args.get("tag", ""), start_after(context)
    if tag:
        check_tag(tag)
    if last and not is_event_id(last):
        raise RegistryError(QUERY_INVALID, {"last": last})
    full, tags = may_see_all(context), context.registry.tags
    page = (tags.history if full else tags.history_of_live_tags)(context.name, tag, last, size)
    if not page.items:
        tags.require(context.name, deleted=full)
    response = json_response(
        {"name": context.name, "moves": [event_as_json(event, named=full) for event in page.items], "next": page.next}
    )
    if page.next:
        add_next_link(context, response, ({"tag": tag} if tag else {}) | {"n": size, "last": page.next})
    return response


def may_see_all(context: RequestContext) -> bool:
    """Return whether the caller may see the past content of tags: with the right to push. Raises as Caller.decide."""
    return context.caller.decide(Action.PUSH, context.name).allowed


def may_see_past(context: RequestContext) -> bool:
    """Return whether the caller may see what a deleted tag pointed to at a time (`TAG.asof-TIME`).

    Clients request a token with the right to pull only, so an authenticated caller need not have that to push.
    """
    return bool(context.caller.principal) or may_see_all(context)


def event_as_json(event: TagEvent, *, named: bool) -> dict[str, Any]:
    """Return an event as a JSON object; with the principal only where `named`."""
    return {
        "tag": event.tag,
        "number": event.number,
        "digest": event.digest or None,
        "before": event.before or None,
        "action": event.action,
        "by": (event.by or None) if named else None,
        "request": event.request or None,
        "moved": event.moved.isoformat(),
    }
