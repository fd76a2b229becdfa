"""The history of tags: an API of our own, which whoever may pull may ask.

    GET /v2/_lading/<name>/history             the moves of all tags of a repository, newest first
    GET /v2/_lading/<name>/history?tag=<tag>   those of one tag, which need not be there any more

    {"name": "team/app", "moves": [
        {"tag": "v1", "number": 2, "digest": "sha256:…", "before": "sha256:…", "action": "push",
         "by": "alice@example.com", "request": "4bf9…", "moved": "2026-11-01T12:00:00.000000+00:00"}]}

`digest` is null where the tag was deleted, `before` where it was new, and `by` for whoever has not logged in. Paged as
tags are: `n`, `last`, and a Link.
"""

from typing import Any

from functions.api.answers import Answer, as_json
from functions.api.base import Call, behind, link_to_next, page_size
from functions.registry.errors import QUERY_INVALID, RegistryError
from functions.registry.moves import is_move
from functions.registry.names import check_tag
from storage.past import Move


def moves(call: Call) -> Answer:
    """history: a page of moves, newest first."""
    size, tag, last = page_size(call), call.request.args.get("tag", ""), behind(call)
    if tag:
        check_tag(tag)
    if last and not is_move(last):
        raise RegistryError(QUERY_INVALID, {"last": last})
    page = call.registry.tags.history(call.name, tag, last, size)
    # What is public is so for pulling; who pushed it is nobody's business who has not logged in.
    to_all = not call.caller.principal
    answer = as_json({"name": call.name, "moves": [described(move, to_all=to_all) for move in page.items]})
    if page.next:
        link_to_next(call, answer, ({"tag": tag} if tag else {}) | {"n": size, "last": page.next})
    return answer


def described(move: Move, *, to_all: bool) -> dict[str, Any]:
    """A move as JSON, without whose it was where it is told `to_all`."""
    return {
        "tag": move.tag,
        "number": move.number,
        "digest": move.digest or None,
        "before": move.before or None,
        "action": move.action,
        "by": None if to_all else move.by or None,
        "request": move.request or None,
        "moved": move.moved.isoformat(),
    }
