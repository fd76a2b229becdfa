"""Use of an image: whether results for it still matter, so that newer data is compared with its packages.

An image is in use if it has a tag, was pulled within 90 days, is in a report of what runs, or is part of an index that
is in use. Of a repository for which a policy limits the age of results, all images are: it would refuse the pull by
which an image comes into use again.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from lading.registry.in_use import digests_in_use
from lading.registry.pagination import scan_all
from lading.registry.rules.effective import effective_rules, rule_keys
from lading.registry.rules.policies_in_effect import policies_in
from lading_storage.errors import UnknownRules
from lading_storage.protocols import MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Key, Manifest, Tag
from lading_storage.records.jobs import InUseReport, LastPull

RECENT: Final = timedelta(days=90)
"""Time since its last pull after which an image without a tag is no longer in use."""

MAX_INDEXES: Final = 20
"""Indexes that are looked at; an image that is part of more counts as in use."""


class ImageUse:
    """Use of images at one time: what environments run is read once."""

    def __init__(self, metadata: MetadataStore, now: datetime) -> None:
        """Read from `metadata`."""
        self._metadata = metadata
        self._now = now
        self._running: Callable[[str], set[str]] = cache(
            lambda repository: digests_in_use(scan_all(metadata, InUseReport), repository)
        )
        self._needs_results: Callable[[str], bool] = cache(lambda repository: _limits_age(metadata, repository))

    def is_in_use(self, repository: str, digest: str) -> bool:
        """Return whether an image is in use. It takes one query if the image has a tag."""
        seen, pending = {digest}, [digest]
        while pending:
            each = pending.pop()
            if self._is_itself(repository, each):
                return True
            limit = MAX_INDEXES + 1
            indexes = self._metadata.find(Query(Manifest, {"children": each}, repository=repository, limit=limit))
            pending += [index.id for index in indexes if index.id not in seen]
            seen.update(pending)
            if len(seen) > MAX_INDEXES:
                return True
        return self._needs_results(repository)

    def _is_itself(self, repository: str, digest: str) -> bool:
        """Return whether a manifest is in use for its own sake."""
        if self._metadata.find(Query(Tag, {"digest": digest}, repository=repository, limit=1)):
            return True
        key = Key(LastPull, digest, repository)
        pull = self._metadata.read([key])[key]
        return (pull is not None and self._now - pull.pulled < RECENT) or digest in self._running(repository)


def _limits_age(metadata: MetadataStore, repository: str) -> bool:
    """Return whether a policy of a repository refuses old results of scans, or might: it cannot be read."""
    try:
        policies = policies_in(effective_rules(metadata.read(rule_keys(repository)), repository))
    except UnknownRules:
        return True
    return any(
        each.scan is not None and each.scan.max_age is not None
        for policy in policies
        for each in (policy.requirements, *policy.any_of)
    )
