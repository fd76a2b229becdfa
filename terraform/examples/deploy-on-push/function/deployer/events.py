"""Events of the registry, as Pub/Sub pushes them: a CloudEvent in the data of a message."""

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, Final

TAG_MOVED: Final = "dev.lading.tag.moved.v1"
"""The type of event that deploys: a push, a tag, a rollback or a restore has pointed a tag to a digest."""

COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"

FIELDS: Final = {
    "id": r"[0-9a-f]{32}",
    "sequence": r"[0-9]{16}-[0-9]{10}",
    "repository": rf"(?=.{{1,255}}$){COMPONENT}(?:/{COMPONENT})*",
    "tag": r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}",
    "digest": r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}",
}
"""Patterns of what becomes part of an image name, a URL or an annotation: the registry's own."""

SOURCE: Final = re.compile(r"https?://([A-Za-z0-9.-]+(?::[0-9]{1,5})?)(?:/[!-~]*)?")
"""URL of a registry, and what follows its host."""

MAX_SHOWN: Final = 300
"""Characters of a value that is not valid, in the log."""

DATA_FIELDS: Final = frozenset({"repository", "tag", "digest"})


class InvalidMessageError(Exception):
    """A message that no delivery can make valid. It is acknowledged, since a retry would fail as well."""


@dataclass(frozen=True)
class TagMoved:
    """A tag points to a digest.

    Attributes:
        id: of the event; a repeated event has the same one.
        sequence: orders the events of one tag, by text comparison.
        host: the registry's, with its port if there is one.
        repository: name of the repository, without the host.
        tag: the tag.
        digest: of the manifest that the tag points to now.
    """

    id: str
    sequence: str
    host: str
    repository: str
    tag: str
    digest: str


def event_of(body: bytes) -> TagMoved | None:
    """Return the event of a push request, or None if its type deploys nothing.

    Args:
        body: `{"message": {"data": BASE64}}` (https://cloud.google.com/pubsub/docs/push#receive_push). Eventarc sends
            the same.

    Raises:
        InvalidMessageError: the request holds no event of a registry.
    """
    try:
        event = json.loads(base64.b64decode(json.loads(body)["message"]["data"], validate=True))
        type = event["type"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidMessageError(f"the message is not a CloudEvent in JSON: {error!r}") from None
    return _tag_moved(event) if type == TAG_MOVED else None


def _tag_moved(event: Any) -> TagMoved:
    if not isinstance(event.get("data"), dict):
        raise InvalidMessageError("the event has no data")
    places = {name: event["data"] if name in DATA_FIELDS else event for name in FIELDS}
    values = {name: _valid(name, place.get(name)) for name, place in places.items()}
    return TagMoved(host=_host(event.get("source")), **values)


def _valid(name: str, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(FIELDS[name], value):
        raise InvalidMessageError(f"the event's {name} is {_shown(value)}, which is not valid")
    return value


def _host(source: Any) -> str:
    found = SOURCE.fullmatch(source) if isinstance(source, str) else None
    if found is None:
        raise InvalidMessageError(f"the event's source is {_shown(source)}, and not the URL of a registry")
    return found[1]


def _shown(value: Any) -> str:
    """Return a value for a message: a message of Pub/Sub has up to 10 MB, and a line of the log 256 KB."""
    return repr(value)[:MAX_SHOWN]
