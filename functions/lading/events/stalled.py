"""Stalled repositories: those of whose events a sink refuses one. Their events wait; those of others do not."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Self

from lading.events.backoff import MAX_REPOSITORY_BACKOFF, REPOSITORY_BACKOFF, delay
from lading.events.sink import Outcome
from lading_storage.protocols import Create, Delete, MetadataStore, Replace, Write
from lading_storage.records.core import Key
from lading_storage.records.events import Event, StalledRepository


class StalledRepositories:
    """The stalled ones among the repositories of some events, and what becomes of them.

    Attributes:
        read_at: the time of the read by the store's clock, or None.
    """

    def __init__(self, records: Mapping[str, StalledRepository], read_at: datetime | None) -> None:
        """Hold records, by repository."""
        self.read_at = read_at
        self._records = records
        self._refused: dict[str, dict[str, str]] = {}
        self._accepted = set[tuple[str, str]]()

    @classmethod
    def of(cls, metadata: MetadataStore, events: Sequence[Event]) -> Self:
        """Read those of the repositories of events, in one round trip."""
        keys = [Key(StalledRepository, each) for each in dict.fromkeys(event.target for event in events)]
        found = metadata.read(keys)
        return cls({key.id: record for key in keys if (record := found[key]) is not None}, found.read_at)

    def held_back(self, sink: str, time: datetime) -> Mapping[str, datetime]:
        """Return the repositories that a sink is not offered yet, and until when."""
        return {
            name: each.next
            for name, each in self._records.items()
            # A clock that was set back does not prolong the wait.
            if sink in each.sinks and time < each.next <= time + MAX_REPOSITORY_BACKOFF
        }

    def note(self, sink: str, outcome: Outcome, events: Sequence[Event]) -> None:
        """Note what a sink accepted and refused of events."""
        for repository, reason in outcome.refused.items():
            self._refused.setdefault(repository, {})[sink] = reason
        self._accepted |= {(sink, each.target) for each in events if each.name in outcome.accepted}

    def writes(self, sinks: Collection[str], time: datetime) -> Iterator[Write]:
        """Yield the writes that record what was noted, at a time. Sinks other than `sinks` are not used anymore."""
        for repository in {**self._records, **self._refused}:
            record, refused = self._records.get(repository), self._refused.get(repository, {})
            before = set(record.sinks) if record else set()
            accepting = {name for name in before if (name, repository) in self._accepted}
            refusing = ((before & set(sinks)) - accepting) | refused.keys()
            if refused:
                yield self._stall(repository, record, refusing, _reasons(refused), time)
            elif record and not refusing:
                yield Delete(record)
            elif record and refusing != before:
                yield Replace(replace(record, sinks=tuple(sorted(refusing))))

    def _stall(
        self, repository: str, record: StalledRepository | None, sinks: Collection[str], error: str, time: datetime
    ) -> Write:
        attempts = (record.attempts if record else 0) + 1
        stalled = StalledRepository(
            id=repository,
            sinks=tuple(sorted(sinks)),
            attempts=attempts,
            since=record.since if record else time,
            next=time + delay(attempts, REPOSITORY_BACKOFF, MAX_REPOSITORY_BACKOFF),
            error=error,
        )
        return Replace(replace(stalled, version=record.version)) if record else Create(stalled)


def _reasons(refused: Mapping[str, str]) -> str:
    return "; ".join(f"{sink}: {reason}" for sink, reason in refused.items())
