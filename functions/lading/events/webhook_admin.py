"""WebhookAdmin: adds, changes and removes webhooks, and retries their dead letters."""

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from lading.addresses import AddressError, Target, parse_url
from lading.events.independent_writes import commit_independent
from lading.events.webhook_attempts import ROTATION, signing_secrets
from lading.events.webhook_secrets import new_secret, seal
from lading.events.webhooks import MAX_WEBHOOKS, matches
from lading.jobs.phases import END_OF_TIME
from lading.registry.change_context import Clock
from lading.registry.events.event_types import EVENT_TYPES
from lading.registry.retry import retry_on_conflict
from lading_storage.errors import Conflict, StorageError
from lading_storage.protocols import Create, Delete, MetadataStore, Replace
from lading_storage.query import Query
from lading_storage.records.core import Key
from lading_storage.records.events import DEAD, WAITING, Delivery, Webhook

PAGE: Final = 100
"""Deliveries of one query, and of one commit."""

MAX_GLOBS: Final = 100
"""Globs of types, and of repositories, of one webhook."""

MAX_SECRETS: Final = 3
"""Secrets that sign at a time: of two rotations within a day, as where the first new secret was lost."""

DISABLED: Final = "by command"

_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_TYPE: Final = re.compile(r"[a-z.*]{1,100}")
_REPOSITORY: Final = re.compile(r"[a-z0-9._/*-]{1,255}")


class WebhookError(StorageError):
    """A webhook is invalid, or does not exist; the message says why, and what to do."""


class WebhookAdmin:
    """The webhooks of a registry."""

    def __init__(self, metadata: MetadataStore, key: Callable[[], bytes], clock: Clock) -> None:
        """Keep webhooks in `metadata`.

        Args:
            metadata: the store of the registry.
            key: returns the HMAC key of robots' secrets, with which secrets are sealed.
            clock: dates changes.
        """
        self._metadata = metadata
        self._key = key
        self._clock = clock

    def add(
        self, url: str, types: Sequence[str] = (), repositories: Sequence[str] = (), id: str = "", by: str = ""
    ) -> tuple[Webhook, str]:
        """Add a webhook; return it and its secret, which cannot be read again.

        Args:
            url: of the endpoint.
            types: globs of types of events; none for all.
            repositories: globs of repositories; none for all.
            id: its id; "" for one that is made of the host.
            by: who adds it.

        Raises:
            WebhookError: an argument is invalid, or the webhook exists, or there are too many.
        """
        target = _checked_url(url)
        _check_globs(types, repositories)
        id = id or _id_for(target)
        if not _ID.fullmatch(id):
            raise WebhookError(f"{id} is no id of a webhook: use at most 40 lower-case letters, digits and `-`")
        self._check_number(MAX_WEBHOOKS - 1)
        secret = new_secret()
        webhook = Webhook(
            id=id,
            url=url,
            secrets=(seal(self._key(), id, secret),),
            types=tuple(types),
            repositories=tuple(repositories),
            created=self._clock(),
            by=by,
        )
        self._create(webhook)
        return webhook, secret

    def all(self) -> list[Webhook]:
        """Return the webhooks, sorted by id."""
        return self._metadata.find(Query(Webhook, limit=MAX_WEBHOOKS))

    def get(self, id: str) -> Webhook:
        """Return a webhook. Raises WebhookError if it does not exist."""
        key = Key(Webhook, id)
        webhook = self._metadata.read([key])[key] if _ID.fullmatch(id) else None
        if webhook is None:
            raise WebhookError(f"there is no webhook {id}; `lading webhooks list` shows all webhooks")
        return webhook

    def rotate(self, id: str, revoke: bool = False) -> str:
        """Give a webhook a new secret and return it; for a day after the last rotation, those before sign as well.

        Args:
            id: of the webhook.
            revoke: whether the former secrets no longer sign.

        Raises:
            WebhookError: the webhook does not exist, or MAX_SECRETS sign already: none may end before its day.
        """
        secret = new_secret()
        sealed = seal(self._key(), id, secret)

        def change(webhook: Webhook) -> Webhook:
            now = self._clock()
            former = () if revoke else signing_secrets(webhook, now)
            if len(former) >= MAX_SECRETS:
                raise WebhookError(
                    f"webhook {id} has {MAX_SECRETS} secrets that sign, the most that it can have: rotate again after"
                    f" {_ends_at(webhook):%Y-%m-%dT%H:%M:%SZ}, or now with --revoke, which ends them all"
                )
            return replace(webhook, secrets=(sealed, *former), rotated=now)

        self._change(id, change)
        return secret

    def disable(self, id: str) -> None:
        """Send no more events. Deliveries that wait become dead letters. Raises WebhookError."""
        self._change(id, lambda webhook: replace(webhook, disabled=webhook.disabled or DISABLED))

    def enable(self, id: str) -> None:
        """Send events again, of changes from now on. Raises WebhookError."""
        self._change(id, lambda webhook: replace(webhook, disabled=""))

    def remove(self, id: str) -> None:
        """Remove a webhook and its deliveries. Raises WebhookError if it does not exist.

        The webhook first: the publisher creates none for it then, and a delivery run deletes what is left.
        """
        retry_on_conflict(lambda: self._metadata.commit([Delete(self.get(id))]))
        for page in self._pages(id):
            commit_independent(self._metadata, [Delete(each) for each in page])

    def deliveries(self, id: str, limit: int) -> Sequence[Delivery]:
        """Return the first `limit` deliveries of a webhook, waiting or dead."""
        return list(islice((each for page in self._pages(id) for each in page), limit))

    def dead_letters(self, id: str, limit: int) -> list[Delivery]:
        """Return the first `limit` dead letters of a webhook, or of all if `id` is "", those that died first first."""
        if not id:
            return [each.record for each in self._metadata.due(Delivery, DEAD, END_OF_TIME, limit=limit)]
        dead = (each for page in self._pages(id) for each in page if each.state == DEAD)
        return sorted(dead, key=lambda each: each.next)[:limit]

    def retry(self, id: str, event: str = "") -> int:
        """Attempt the dead letters of a webhook again, or that of one event, as new ones; return how many there are.

        Raises:
            WebhookError: the webhook does not exist, or is disabled, or there is no such dead letter.
        """
        if self.get(id).disabled:
            raise WebhookError(f"webhook {id} is disabled; `lading webhooks enable {id}` enables it")
        count, now = 0, self._clock()
        for page in self._pages(id):
            dead = [each for each in page if each.state == DEAD and event in ("", each.event)]
            commit_independent(
                self._metadata, [Replace(replace(each, state=WAITING, attempts=0, next=now)) for each in dead]
            )
            count += len(dead)
        if event and not count:
            raise WebhookError(f"webhook {id} has no dead letter of event {event}; `lading webhooks dead {id}` lists")
        return count

    def _create(self, webhook: Webhook) -> None:
        try:
            self._metadata.commit([Create(webhook)])
        except Conflict:
            raise WebhookError(f"webhook {webhook.id} exists already; use another --id") from None
        try:
            # Events are sent to MAX_WEBHOOKS; where others were added meanwhile, one of them would get none.
            self._check_number(MAX_WEBHOOKS)
        except WebhookError:
            self.remove(webhook.id)
            raise

    def _check_number(self, limit: int) -> None:
        if len(self._metadata.find(Query(Webhook, limit=limit + 1))) > limit:
            raise WebhookError(f"a registry has at most {MAX_WEBHOOKS} webhooks; `lading webhooks remove` removes one")

    def _change(self, id: str, change: Callable[[Webhook], Webhook]) -> None:
        retry_on_conflict(lambda: self._metadata.commit([Replace(change(self.get(id)))]))

    def _pages(self, id: str) -> Iterator[Sequence[Delivery]]:
        """Yield the deliveries of a webhook."""
        query = Query(Delivery, {"webhook": id}, limit=PAGE)
        while page := self._metadata.find(query):
            yield page
            query = query.after_record(page[-1])


def _ends_at(webhook: Webhook) -> datetime:
    """Return when the former secrets of a webhook that was rotated no longer sign."""
    return ((webhook.rotated or webhook.created) + ROTATION).astimezone(UTC)


def _checked_url(url: str) -> Target:
    try:
        return parse_url(url)
    except AddressError as error:
        raise WebhookError(str(error)) from None


def _check_globs(types: Sequence[str], repositories: Sequence[str]) -> None:
    """Raise WebhookError where a glob is not valid, or matches no type of events."""
    if max(len(types), len(repositories)) > MAX_GLOBS:
        raise WebhookError(f"a webhook has at most {MAX_GLOBS} globs of types, and of repositories")
    for each in types:
        if not _TYPE.fullmatch(each) or not any(matches([each], known) for known in EVENT_TYPES):
            raise WebhookError(f"{each} matches no type of events: there are {', '.join(EVENT_TYPES)}")
    for each in repositories:
        if not _REPOSITORY.fullmatch(each):
            raise WebhookError(f"{each} is no repository name, in which * matches any text")


def _id_for(target: Target) -> str:
    """Return an id for the webhook of a target: the beginning of its host, and random digits."""
    host = re.sub(r"[^a-z0-9]+", "-", target.host).strip("-")[:24].rstrip("-")
    return f"{host}-{secrets.token_hex(3)}" if host else secrets.token_hex(3)
