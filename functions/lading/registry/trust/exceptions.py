"""Exceptions: a manifest that a policy refuses may be pulled for a while, because someone said so (break-glass)."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from lading.policies.evidence import OpenedException
from lading.registry.change_context import BREAK_GLASS, MAX_CLOCK_SKEW, ChangeContext, Clock
from lading.registry.errors import MANIFEST_UNKNOWN, REQUEST_INVALID, RegistryError
from lading.registry.events.event_types import POLICY_EXEMPTED
from lading.registry.events.outbox import observation
from lading.registry.retry import retry_on_conflict
from lading.registry.trust.trust_contents import encoded_exceptions, exceptions_of
from lading_storage.protocols import Create, MetadataStore, Replace, Verify, Write
from lading_storage.records.core import Key, Manifest
from lading_storage.records.trust import Trust

MAX_EXCEPTIONS: Final = 20
"""Live exceptions of one manifest."""

MAX_DURATION: Final = timedelta(hours=24)
MAX_REASON: Final = 200
MAX_PRINCIPAL: Final = 320
"""Limits of one: how long it lasts, and the characters of its reason and of who made it."""


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Exceptions of one registry."""

    metadata: MetadataStore
    clock: Clock

    def add(
        self, repository: str, digest: str, exception: OpenedException, context: ChangeContext = BREAK_GLASS
    ) -> None:
        """Add an exception to a manifest, with its event. One of the same policy by the same principal is replaced.

        Raises:
            RegistryError: MANIFEST_UNKNOWN; REQUEST_INVALID if it is longer than it may be, over already, has no
                reason, or there are too many.
        """
        _check(exception, self.clock())
        retry_on_conflict(lambda: self._try(repository, digest, exception, context))

    def remove(self, repository: str, digest: str, policies: Collection[str]) -> None:
        """Remove the exceptions of some policies from a manifest, of all principals. Where there are none, do nothing.

        Raises StorageError.
        """
        retry_on_conflict(lambda: self._try_to_remove(repository, digest, policies))

    def _try_to_remove(self, repository: str, digest: str, policies: Collection[str]) -> None:
        key = Key(Trust, digest, repository)
        found = self.metadata.read([key], content=False)
        trust, now = found[key], self.clock(found.read_at)
        if trust is None or not trust.exceptions:
            return
        kept = encoded_exceptions(each for each in exceptions_of(trust, now) if each.policy not in policies)
        if kept != trust.exceptions:
            self.metadata.commit([Replace(replace(trust, exceptions=kept))])

    def _try(self, repository: str, digest: str, exception: OpenedException, context: ChangeContext) -> None:
        key, manifest_key = Key(Trust, digest, repository), Key(Manifest, digest, repository)
        found = self.metadata.read([key, manifest_key], content=False)
        trust, manifest, now = found[key], found[manifest_key], self.clock(found.read_at)
        if manifest is None:
            raise RegistryError(MANIFEST_UNKNOWN, {"digest": digest})
        if exception in exceptions_of(trust, now):
            return  # a retry
        same = (exception.policy, exception.by)
        others = [each for each in exceptions_of(trust, now) if (each.policy, each.by) != same]
        if len(others) >= MAX_EXCEPTIONS:
            raise RegistryError(REQUEST_INVALID, {"reason": f"the image has {MAX_EXCEPTIONS} exceptions already"})
        exceptions = encoded_exceptions([*others, exception])
        writes: list[Write] = [Verify(manifest_key, manifest.version), _event(manifest, exception, now, context)]
        if trust is None:
            writes.append(Create(Trust(id=digest, repository=repository, created=now, exceptions=exceptions)))
        else:
            writes.append(Replace(replace(trust, exceptions=exceptions)))
        self.metadata.commit(writes)


def _event(manifest: Manifest, exception: OpenedException, now: datetime, context: ChangeContext) -> Create:
    """Return the event of an exception that is opened: each has one, however many there were lately."""
    end = exception.until.isoformat(timespec="seconds")
    details = {
        "policy": exception.policy,
        "reason": f"{exception.by} opened an exception until {end}: {exception.reason}",
    }
    return observation(POLICY_EXEMPTED, manifest, now, context._replace(actor=exception.by), details)


def _check(exception: OpenedException, now: datetime) -> None:
    """Raise REQUEST_INVALID unless an exception is within the limits."""
    if not exception.reason.strip() or len(exception.reason) > MAX_REASON or not exception.reason.isprintable():
        reason = f"an exception needs a reason, on one line of at most {MAX_REASON} printable characters"
    elif len(exception.by) > MAX_PRINCIPAL or not exception.by:
        reason = "an exception needs a principal"
    elif exception.until <= now or exception.until - now > MAX_DURATION + MAX_CLOCK_SKEW:
        reason = f"an exception ends later than now, and within {int(MAX_DURATION.total_seconds()) // 3600} hours"
    else:
        return
    raise RegistryError(REQUEST_INVALID, {"reason": reason})
