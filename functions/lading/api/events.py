"""Events of changes that the publisher has finished, for `lading events tail`.

    GET /v2/_lading/events?after=CURSOR&wait=30   what was published since, or the next event within 30 seconds

A caller receives the events of the repositories that it may pull from, and learns nothing of others. Basic credentials
count with all their rights; a token with `registry:catalog:*` for all that its caller may pull from, and any other for
what it grants. An anonymous caller receives the events of public repositories. Who made a change is shown to callers
who may push to its repository, as in the history of tags.

The cursor holds what the caller has received (registry.events.event_cursor). It is bound to the caller, and encrypted:
its position can be the time of an event that the caller must not see.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from lading.auth import patterns
from lading.auth.access import Action, Effect
from lading.auth.cursors import CURSOR_PREFIX
from lading.auth.patterns import Patterns
from lading.auth.scopes import CATALOG
from lading.events.cloud_event import cloud_event, is_selected
from lading.http.poll_slots import CHECK_INTERVAL, MAX_WAIT, Poll
from lading.http.responses import Response, json_response
from lading.json_values import parse_time
from lading.registry.errors import (
    PAGE_INVALID,
    QUERY_INVALID,
    TOO_MANY_WAITING,
    UNAUTHORIZED,
    RegistryError,
    denied,
)
from lading.registry.events.event_cursor import EventCursor
from lading.registry.events.event_types import POLICY_EXEMPTED
from lading.registry.events.selection import Selection
from lading.registry.names import is_repository
from lading.setting_values import duration
from lading.surface.request_context import RequestContext, page_size
from lading_storage.records.events import PublishedEvent

DEFAULT_SIZE: Final = 100
MAX_SIZE: Final = 250
"""Events of a response, of at most 2 KB each."""

MAX_TYPE: Final = 100
MAX_DECISIONS: Final = 20
"""Characters of a glob of types; and repositories of one response for which the right to push is decided, which can
take a query to Google each. The events of further ones are without the caller that made the change."""


@dataclass(frozen=True, slots=True)
class _Query:
    """The parameters of a request.

    readable  the repositories whose events the caller may see
    wait      seconds
    """

    readable: Patterns
    cursor: EventCursor
    repository: str
    type: str
    wait: int
    size: int

    def wants(self, event: PublishedEvent) -> bool:
        """Return whether the caller may see an event, and asked for it. Rights are checked first."""
        return self.readable.matches(event.target) and is_selected(event, self.repository, self.type)


def events(context: RequestContext) -> Response:
    """events: return the events that were published after a cursor; where there are none, wait for one."""
    query = _parse(context)
    found = _select(context, query, query.cursor)
    if query.wait and not found.events and not found.ready:
        found = _wait(context, query, found)
    shown = _may_see_actor(context)
    return json_response(
        {
            "events": [_as_json(context, each, named=shown(each.target)) for each in found.events],
            "next": context.authenticator.seal_cursor(context.caller, str(found.cursor)),
            "more": found.more,
        }
    )


def _wait(context: RequestContext, query: _Query, found: Selection) -> Selection:
    """Wait until there are events, the time is over, the token has expired, the client is gone, or the server stops.

    Raises TOO_MANY_WAITING: the client has nothing to wait for, and would hold a thread.
    """
    feed = context.registry.event_feed
    # Whether a caller may see an event was decided when the request came, and a token's rights end with it.
    deadline = time.monotonic() + min(query.wait, context.authenticator.remaining_life(context.caller))
    principal = context.caller.principal
    poll = Poll(principal or context.audit.origin.client.network, not principal, context.request.environ)
    with context.polls.hold(poll) as acquired:
        if not acquired:
            raise RegistryError(TOO_MANY_WAITING)
        version = feed.version
        while (remaining := deadline - time.monotonic()) > 0 and context.polls.goes_on(poll):
            feed.wait(version, min(remaining, CHECK_INTERVAL))
            feed.refresh(context.polls.interval)
            if feed.version != version:
                version = feed.version
                found = _select(context, query, found.cursor)
                if found.events or found.ready:
                    break
    return found


def _select(context: RequestContext, query: _Query, cursor: EventCursor) -> Selection:
    feed = context.registry.event_feed
    feed.refresh(context.polls.interval)
    client = context.caller.principal or context.audit.origin.client.network
    # A client that was away reads up to a thousand records, as a listing may.
    with nullcontext() if feed.has(cursor) else context.searches.slot(client):
        return feed.select(cursor, query.wants, query.size)


def _parse(context: RequestContext) -> _Query:
    """Return the query of a request, after the check of the rights. Raises RegistryError."""
    arguments = context.request.args
    repository, type = arguments.get("repository", "*"), arguments.get("type", "*")
    if not patterns.is_pattern(repository):
        raise RegistryError(QUERY_INVALID, {"repository": repository[:MAX_TYPE]})
    if not (0 < len(type) <= MAX_TYPE and type.isascii() and type.isprintable()):
        raise RegistryError(QUERY_INVALID, {"type": type[:MAX_TYPE]})
    readable = _readable(context, repository)
    wait = arguments.get("wait", "0")
    if not (wait.isascii() and wait.isdigit() and len(wait) < 5 and int(wait) <= MAX_WAIT):
        raise RegistryError(QUERY_INVALID, {"wait": wait[:20], "reason": f"it is a number of seconds up to {MAX_WAIT}"})
    size = min(page_size(context), MAX_SIZE) if "n" in arguments else DEFAULT_SIZE
    if not size:
        raise RegistryError(PAGE_INVALID, {"n": "0"})
    return _Query(
        readable, _cursor(context), repository, type, 0 if context.request.method == "HEAD" else int(wait), size
    )


def _cursor(context: RequestContext) -> EventCursor:
    """Return where the caller continues, or begins: by default now."""
    after, since = (context.request.args.get(name, "") for name in ("after", "since"))
    if after and since:
        raise RegistryError(QUERY_INVALID, {"since": since[:40], "reason": "there is a cursor, after, as well"})
    try:
        if after:
            return EventCursor.parse(_unsealed(context, after))
        return context.registry.event_feed.beginning(_time_or_age(since) if since else None)
    except (ValueError, OverflowError):
        raise RegistryError(QUERY_INVALID, {"after": after[:20]} if after else {"since": since[:40]}) from None


def _time_or_age(text: str) -> datetime | timedelta:
    """Return a time, or how long ago one was. Raises ValueError."""
    try:
        return duration(text)
    except ValueError:
        return parse_time(text)


def _unsealed(context: RequestContext, after: str) -> str:
    """Return the text of a cursor. Raises ValueError for one of another caller, or that was changed."""
    if not after.startswith(CURSOR_PREFIX):
        raise ValueError("it is no cursor")
    try:
        return context.authenticator.unseal_cursor(context.caller, after)
    except RegistryError as error:
        if error.descriptor is not QUERY_INVALID:
            raise
        raise ValueError("it is no cursor of this caller") from None


def _readable(context: RequestContext, repository: str) -> Patterns:
    """Return the repositories whose events the caller may see, of those that it asks for.

    Raises:
        RegistryError: UNAUTHORIZED if there are none for an anonymous caller; for a single repository also DENIED, as
            for a pull, whether the repository exists or not.
    """
    if is_repository(repository):
        effect = context.caller.decide(Action.PULL, repository).effect
        if effect is Effect.DENIED:
            required = context.authenticator.required_permission(context.caller.principal, Action.PULL, repository)
            raise denied(required.permission, required.resource)
        if effect is Effect.UNDETERMINED:
            raise RegistryError(UNAUTHORIZED, {"scope": f"repository:{repository}:pull"})
        return patterns.compiled((repository,))
    readable = tuple(context.caller.readable_patterns())
    if not readable and not context.caller.principal:
        raise RegistryError(UNAUTHORIZED, {"scope": str(CATALOG)})
    return patterns.compiled(readable)


def _may_see_actor(context: RequestContext) -> Callable[[str], bool]:
    """Return a function that returns whether the caller may see who changes a repository: with the right to push."""
    decided = dict[str, bool]()

    def may_see(repository: str) -> bool:
        if repository not in decided and len(decided) < MAX_DECISIONS:
            decided[repository] = context.caller.decide(Action.PUSH, repository).allowed
        return decided.get(repository, False)

    return may_see


def _as_json(context: RequestContext, event: PublishedEvent, named: bool) -> dict[str, Any]:
    if named:
        return cloud_event(event, context.url)
    # Who is exempt, or opened an exception, is in the reason.
    details = "" if event.type == POLICY_EXEMPTED else event.details
    return cloud_event(replace(event, by="", request="", details=details), context.url)
