"""Events as CloudEvents 1.0 in JSON (structured mode).

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md, with the extension `sequence`
(https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/sequence.md).
"""

import json
from typing import Any, Final
from urllib.parse import urlsplit

from lading.json_values import rfc3339
from lading.registry import globs
from lading_storage.records.events import Event

CONTENT_TYPE: Final = "application/cloudevents+json"


def type_of(event: Event) -> str:
    """Return the type of a CloudEvent, as in dev.lading.tag.moved.v1."""
    return f"dev.lading.{event.type}.v1"


def is_selected(event: Event, repository: str, type: str) -> bool:
    """Return whether an event is of a repository and a type, both globs: of tag.moved or dev.lading.tag.moved.v1."""
    return globs.matches(repository, event.target) and (
        globs.matches(type, event.type) or globs.matches(type, type_of(event))
    )


def cloud_event(event: Event, registry_url: str) -> dict[str, Any]:
    """Return an event as a JSON object; the same one each time that it is published.

    Attributes without a value are left out: CloudEvents has no empty ones.

    Args:
        event: the event.
        registry_url: the address of the registry that clients see, as in https://registry.example.com.
    """
    attributes = {
        "specversion": "1.0",
        "id": event.name,
        "source": f"{registry_url}/{event.target}",
        "type": type_of(event),
        "subject": _subject(event),
        "time": rfc3339(event.moved),
        "datacontenttype": "application/json",
        "sequence": event.sequence,
        "actor": event.by,
        "requestid": event.request,
    }
    return {**_given(attributes), "data": _data(event, registry_url)}


def _subject(event: Event) -> str:
    """Return what changed: repository:tag, repository@digest, or the repository."""
    if event.tag:
        return f"{event.target}:{event.tag}"
    return f"{event.target}@{event.digest}" if event.digest else event.target


def _data(event: Event, registry_url: str) -> dict[str, Any]:
    host = urlsplit(registry_url).netloc
    return _given(
        {
            "action": event.action,
            "repository": event.target,
            "tag": event.tag,
            "digest": event.digest,
            "previousDigest": event.before,
            "mediaType": event.media_type,
            "size": event.size,
            "uri": f"{host}/{event.target}@{event.digest}" if event.digest else "",
            **details_of(event),
        }
    )


def details_of(event: Event) -> dict[str, Any]:
    """Return the details of an event of a scan or a policy; none of any other."""
    found: dict[str, Any] = json.loads(event.details) if event.details else {}
    return found


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}
