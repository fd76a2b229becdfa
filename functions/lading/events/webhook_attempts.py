"""WebhookClient: one attempt to deliver an event to the endpoint of a webhook, signed as Standard Webhooks specifies.

    webhook-id         the public id of the event: the same in each attempt, so that receivers can drop duplicates
    webhook-timestamp  the time of the attempt, in seconds since 1970
    webhook-signature  v1,… of id, timestamp and body; one for each secret while it is rotated

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from lading.addresses import AddressError
from lading.events.cloud_event import CONTENT_TYPE
from lading.events.webhook_secrets import SecretLost, unseal
from lading.outbound import Outbound, OutboundError, Reply
from lading.registry.change_context import Clock
from lading_storage.records.events import Webhook

ROTATION: Final = timedelta(hours=24)
"""How long after the last rotation deliveries are signed with the former secrets as well."""

MAX_RETRY_AFTER: Final = timedelta(hours=24)
"""Longest wait that an endpoint can ask for."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Result of an attempt.

    Attributes:
        error: why the endpoint has not accepted the event, in a sentence without the URL; "" if it has.
        status: of the response, or 0 without one.
        is_unreachable: whether there was no response, so that other deliveries would fail as well.
        retry_after: how long the endpoint asks to wait, or None.
    """

    error: str = ""
    status: int = 0
    is_unreachable: bool = False
    retry_after: timedelta | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the endpoint wants no more deliveries."""
        return self.status == 410


class WebhookClient:
    """Posts events to endpoints. Thread-safe."""

    def __init__(self, outbound: Outbound, key: Callable[[], bytes], clock: Clock) -> None:
        """Post by `outbound`.

        Args:
            outbound: makes the requests.
            key: returns the HMAC key of robots' secrets, with which secrets are sealed.
            clock: dates the attempts.
        """
        self._outbound = outbound
        self._key = key
        self._clock = clock

    def post(self, webhook: Webhook, event: str, body: str, ends_at: float | None = None) -> Attempt:
        """Post the body of an event, by its public id. Every failure is an Attempt.

        Args:
            webhook: where to.
            event: the public id of the event.
            body: its body.
            ends_at: the time of time.monotonic at which the attempt ends at the latest, or None.
        """
        now = self._clock()
        try:
            signed = signature(self._secrets(webhook, now), event, now, body)
            headers = {"Content-Type": f"{CONTENT_TYPE}; charset=utf-8", **signed}
            return _attempt_of(self._outbound.post(webhook.url, body.encode(), headers, ends_at), now)
        except SecretLost as error:
            return Attempt(str(error), is_unreachable=True)
        except (AddressError, OutboundError) as error:
            return Attempt(f"the endpoint was not reached: {error}", is_unreachable=True)

    def _secrets(self, webhook: Webhook, now: datetime) -> Sequence[str]:
        """Return the secrets that sign. Raises SecretLost where the current one cannot be opened."""
        key = self._key()
        current, *former = signing_secrets(webhook, now)
        secrets = [unseal(key, webhook.id, current)]
        for each in former:
            # Sealed with keys that were lost: the rotation is the remedy.
            with suppress(SecretLost):
                secrets.append(unseal(key, webhook.id, each))
        return secrets


def signing_secrets(webhook: Webhook, now: datetime) -> Sequence[str]:
    """Return the sealed secrets that sign at a time: the current one, and for a while the former ones."""
    if webhook.rotated is None or now >= webhook.rotated + ROTATION:
        return webhook.secrets[:1]
    return webhook.secrets


def signature(secrets: Sequence[str], event: str, now: datetime, body: str) -> dict[str, str]:
    """Return the headers with which a receiver verifies a request."""
    from standardwebhooks.webhooks import Webhook as Signer

    time = now.astimezone(UTC)
    return {
        "webhook-id": event,
        "webhook-timestamp": str(int(time.timestamp())),
        "webhook-signature": " ".join(Signer(each).sign(event, time, body) for each in secrets),
    }


def _attempt_of(reply: Reply, now: datetime) -> Attempt:
    if 200 <= reply.status < 300:
        return Attempt(status=reply.status)
    reason = ", and redirects are not followed" if 300 <= reply.status < 400 else ""
    return Attempt(
        f"the endpoint responded with status {reply.status}{reason}",
        reply.status,
        retry_after=parse_retry_after(reply.headers.get("retry-after", ""), now),
    )


def parse_retry_after(text: str, now: datetime) -> timedelta | None:
    """Return how long a Retry-After header asks to wait: seconds or a date (RFC 9110, section 10.2.3), or None."""
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), MAX_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    wait = date.replace(tzinfo=date.tzinfo or UTC) - now
    return min(max(wait, timedelta(0)), MAX_RETRY_AFTER)
