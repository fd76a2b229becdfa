"""The history of tags: an API of our own.

    GET /v2/_lading/<name>/history             the moves of all tags of a repository, newest first
    GET /v2/_lading/<name>/history?tag=<tag>   those of one tag

A caller who may push to the repository sees all of it, also of tags that are gone and of a deleted repository, and by
whom each tag was moved. A caller who may only pull, as any client may from a public repository, sees no more than a
listing of tags tells: the moves of tags that are there now, without names, and 404 for a deleted repository. So with a
token the scope `push` decides.

    {"name": "team/app", "moves": [
        {"tag": "v1", "number": 2, "digest": "sha256:…", "before": "sha256:…", "action": "push",
         "by": "alice@example.com", "request": "4bf9…", "moved": "2026-11-01T12:00:00.000000+00:00"}]}

`digest` is null where the tag was deleted, `before` where it was new, and `by` where it is not told or there was no
name. Paged as tags are: `n`, `last`, and a Link; fewer than `n` moves can come with a Link.
"""

from typing import Any

from lading.auth.access import Action
from lading.http.request_context import RequestContext, add_next_link, page_size, start_after
from lading.http.responses import Response, json_response
from lading.registry.errors import QUERY_INVALID, RegistryError
from lading.registry.names import check_tag
from lading.registry.tags.history import is_event_id
from lading_storage.records.deleted import TagEvent


def tag_history(context: RequestContext) -> Response:
    """history: a page of moves, newest first."""
    size, tag, last = page_size(context), context.request.args.get("tag", ""), start_after(context)
    if tag:
        check_tag(tag)
    if last and not is_event_id(last):
        raise RegistryError(QUERY_INVALID, {"last": last})
    all_of_it, tags = may_see_all(context), context.registry.tags
    page = (tags.history if all_of_it else tags.history_of_live_tags)(context.name, tag, last, size)
    if not page.items:
        tags.require(context.name, deleted=all_of_it)
    answer = json_response(
        {"name": context.name, "moves": [event_as_json(move, named=all_of_it) for move in page.items]}
    )
    if page.next:
        add_next_link(context, answer, ({"tag": tag} if tag else {}) | {"n": size, "last": page.next})
    return answer


def may_see_all(context: RequestContext) -> bool:
    """Whether the caller may see what tags named once: those who may push. Raises as Caller.decide does."""
    return context.caller.decide(Action.PUSH, context.name).allowed


def event_as_json(move: TagEvent, *, named: bool) -> dict[str, Any]:
    """Return a move as JSON, with the name of who made it only where it is `named`."""
    return {
        "tag": move.tag,
        "number": move.number,
        "digest": move.digest or None,
        "before": move.before or None,
        "action": move.action,
        "by": (move.by or None) if named else None,
        "request": move.request or None,
        "moved": move.moved.isoformat(),
    }
