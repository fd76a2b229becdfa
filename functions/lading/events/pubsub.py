"""PubSubSink: a topic of Google Cloud Pub/Sub, over REST.

    https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish

The client library google-cloud-pubsub takes 150 ms of CPU to import, and batches in threads of its own, whose results
come after the commit that depends on them. PUBSUB_EMULATOR_HOST replaces the service, as for Google's own clients; the
emulator enforces none of the limits.

    200 with an id for each message   accepted
    400, 413                          this repository is refused; others go on
    anything else, or no response     the topic is down: messages may have been published, and are published again
"""

import base64
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import requests
from google.auth.exceptions import GoogleAuthError

from lading.events import artifact_registry
from lading.events.cloud_event import CONTENT_TYPE, cloud_event, type_of
from lading.events.sink import Outcome
from lading.registry.fan_out import query_each
from lading_storage.records.events import Event

SCOPE: Final = "https://www.googleapis.com/auth/pubsub"
TIMEOUTS: Final = (3.05, 10)
"""Connect timeout and read timeout, in seconds."""

MAX_REQUEST: Final = 10_000_000
MAX_MESSAGES: Final = 1000
MAX_ORDERING_KEY: Final = 1024
"""Bytes of a request, messages of a request, bytes of an ordering key: https://cloud.google.com/pubsub/quotas#resource_limits"""

REFUSED: Final = (400, 413)

Message = Mapping[str, Any]
"""A PubsubMessage: https://cloud.google.com/pubsub/docs/reference/rest/v1/PubsubMessage"""


@dataclass(frozen=True, slots=True)
class CloudEvents:
    """Messages that contain CloudEvents; attributes are for the filters of subscriptions."""

    registry_url: str

    def __call__(self, event: Event) -> Message | None:
        """Return the message of an event."""
        content = cloud_event(event, self.registry_url)
        return _message(event, content, {"content-type": CONTENT_TYPE, "type": type_of(event)})


@dataclass(frozen=True, slots=True)
class Notifications:
    """Messages that contain Artifact Registry's notifications."""

    registry_url: str

    def __call__(self, event: Event) -> Message | None:
        """Return the message of an event, or None if there is none."""
        content = artifact_registry.notification(event, self.registry_url)
        return content and _message(event, content, {})


class PubSubSink:
    """Topic that receives the events of one repository in order: the repository is the ordering key."""

    def __init__(
        self,
        name: str,
        topic: str,
        message_of: Callable[[Event], Message | None],
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """Publish to a topic.

        Args:
            name: of the sink.
            topic: projects/PROJECT/topics/TOPIC.
            message_of: returns the message of an event, or None for one that is not published.
            environment: may name an emulator.
        """
        self.name = name
        self._message_of = message_of
        emulator = environment.get("PUBSUB_EMULATOR_HOST", "")
        host = f"http://{emulator}" if emulator else "https://pubsub.googleapis.com"
        self._url = f"{host}/v1/{topic}:publish"
        self._session = cache(requests.Session if emulator else _authorized_session)

    def publish(self, events: Sequence[Event]) -> Outcome:
        """See Sink.publish. A request has messages of one repository, as an ordering key requires; several run at once.

        What is not sent because the topic was found down is neither accepted nor refused.
        """
        by_repository: dict[str, list[Event]] = {}
        for event in events:
            by_repository.setdefault(event.target, []).append(event)
        publication = _Publication(self._url, self._session)
        messages = {name: [(each, self._message_of(each)) for each in chosen] for name, chosen in by_repository.items()}
        query_each(lambda name: publication.publish(name, messages[name]), messages)
        return Outcome(publication.accepted, publication.refused, publication.down)


class _Publication:
    """One call of PubSubSink.publish. Its methods are thread-safe: each repository has a thread of its own."""

    def __init__(self, url: str, session: Callable[[], requests.Session]) -> None:
        self.accepted = set[str]()
        self.refused: dict[str, str] = {}
        self.down = ""
        self._url = url
        self._session = session
        self._lock = threading.Lock()

    def publish(self, repository: str, messages: Sequence[tuple[Event, Message | None]]) -> None:
        """Publish the messages of a repository, in order, until a request fails."""
        if len(repository.encode()) > MAX_ORDERING_KEY:
            self.refused[repository] = f"the name is longer than {MAX_ORDERING_KEY} bytes"
            return
        for batch in _batches(messages):
            wanted = [message for _, message in batch if message is not None]
            if self.down or (wanted and not self._send(repository, wanted)):
                return
            with self._lock:
                self.accepted |= {event.name for event, _ in batch}

    def _send(self, repository: str, messages: Sequence[Message]) -> bool:
        """Send one request; return whether it was accepted."""
        body = _body(messages)
        if len(body) > MAX_REQUEST:
            self.refused[repository] = f"a message is larger than {MAX_REQUEST} bytes"
            return False
        try:
            response = self._session().post(
                self._url,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=TIMEOUTS,
                allow_redirects=False,
            )
        except (requests.RequestException, GoogleAuthError) as error:
            # The texts of such errors can quote the request.
            self.down = f"no response of Pub/Sub: {type(error).__name__}"
            return False
        if response.status_code in REFUSED:
            self.refused[repository] = _reason(response)
        elif response.status_code != 200:
            self.down = _reason(response)
        elif not _has_ids(response, len(messages)):
            self.down = "Pub/Sub responds without an id for each message"
        else:
            return True
        return False


def _message(event: Event, content: Mapping[str, Any], attributes: Mapping[str, str]) -> Message:
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    common = {"id": event.name, "sequence": event.sequence, "repository": event.target}
    return {
        "data": base64.b64encode(data).decode(),
        "attributes": {**common, **attributes},
        "orderingKey": event.target,
    }


def _body(messages: Sequence[Message]) -> bytes:
    return json.dumps({"messages": messages}, separators=(",", ":")).encode()


def _batches(messages: Sequence[tuple[Event, Message | None]]) -> Iterator[Sequence[tuple[Event, Message | None]]]:
    """Yield messages in batches that fit into a request. One that is too large alone is a batch of its own."""
    start, size, count = 0, 0, 0
    for index, (_, message) in enumerate(messages):
        more = len(_body([message])) if message is not None else 0
        if index > start and (size + more > MAX_REQUEST or count == MAX_MESSAGES):
            yield messages[start:index]
            start, size, count = index, 0, 0
        size, count = size + more, count + (message is not None)
    if messages:
        yield messages[start:]


def _has_ids(response: requests.Response, count: int) -> bool:
    try:
        ids = response.json()["messageIds"]
    except (ValueError, KeyError, TypeError, RecursionError, requests.RequestException):
        return False
    return isinstance(ids, list) and len(ids) == count and all(isinstance(each, str) and each for each in ids)


def _reason(response: requests.Response) -> str:
    """Return the status of a response, and Google's message if there is one (https://cloud.google.com/apis/design/errors)."""
    try:
        message = str(response.json()["error"]["message"])[:200]
    except (ValueError, KeyError, TypeError, RecursionError):
        message = ""
    return f"Pub/Sub: {response.status_code}{f', {message}' if message else ''}"


def _authorized_session() -> requests.Session:
    """Return the connections of a process, with its own credentials. Raises GoogleAuthError."""
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    credentials, _ = google.auth.default(scopes=[SCOPE])
    session: requests.Session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    return session
