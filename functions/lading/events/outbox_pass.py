"""OutboxPass: one pass over the outbox, which hands pages of events to the sinks and commits what came of it."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from lading.events.backlog import Backlogs, Cause, Kept
from lading.events.backoff import MAX_REPOSITORY_BACKOFF, SinkBackoff
from lading.events.publish_report import PUBLISHED, REFUSED, PublishReport
from lading.events.published import published
from lading.events.sink import Outcome, Sink
from lading.events.stalled import StalledRepositories
from lading.jobs.job_report import RACE_LOST
from lading.registry.change_context import Clock
from lading_storage.errors import Conflict, TooLarge
from lading_storage.protocols import Create, Delete, MetadataStore, Replace, Write
from lading_storage.records.events import Event

log = logging.getLogger("lading")


class OutboxPass:
    """A pass over the outbox. What a sink has not received, it receives nothing later of in the same pass.

    Attributes:
        finished: how many events were removed from the outbox.
    """

    def __init__(
        self,
        metadata: MetadataStore,
        sinks: Mapping[str, Sink],
        backoffs: Mapping[str, SinkBackoff],
        clock: Clock,
        report: PublishReport,
    ) -> None:
        """Begin a pass to those of `sinks`, by name, that are not backing off."""
        self.finished = 0
        self._metadata = metadata
        self._clock = clock
        self._report = report
        self._sinks = sinks
        self._backoffs = backoffs
        self._time = clock()
        self._up = {name for name in sinks if not backoffs[name].holds(self._time)}
        self._held: dict[Cause, datetime] = {}
        self._waiting = Counter[str]()
        self._oldest: dict[str, datetime] = {}

    @property
    def has_sinks(self) -> bool:
        """Whether there is anything to do: a sink that is up, or no sink at all, where events are only for readers."""
        return bool(self._up or not self._sinks)

    def waiting_in(self, place: str) -> int:
        """Return how many of the events that were last read of a range wait, and are to be read again."""
        return self._waiting[place]

    def read_again(self, position: str, stop: str) -> None:
        """Forget what waits in the ranges from `position` to before `stop`, which are read again."""
        for place in [each for each in self._waiting if position <= each and (not stop or each < stop)]:
            del self._waiting[place], self._oldest[place]

    def wait(self, events: Iterable[Event]) -> None:
        """Count events that wait, and are to be read again. Only that is kept of them: any number can wait."""
        for each in events:
            place = each.id[0]
            self._waiting[place] += 1
            self._oldest[place] = min(each.moved, self._oldest.get(place, each.moved))

    def is_due(self, cause: Cause, until: datetime | None) -> bool:
        """See Retries. Another process may retry the cause meanwhile: this pass offers nothing that follows."""
        if until and cause not in self._held and self._time < until <= self._time + MAX_REPOSITORY_BACKOFF:
            self._held[cause] = until
        return cause[0] in self._up and cause not in self._held

    def finish(self, backlogs: Backlogs) -> None:
        """Complete the report, of which `backlogs` were not read again."""
        self._report.read_again = self._waiting.total()
        self._report.waiting = self._report.read_again + sum(each.events for each in backlogs)
        self._report.oldest = min([*self._oldest.values(), *(each.oldest for each in backlogs)], default=None)
        self._report.down.update({name: each.reason for name, each in self._backoffs.items() if name not in self._up})

    def publish(self, events: Sequence[Event], chunk: int, is_over: Callable[[], bool]) -> tuple[bool, list[Kept]]:
        """Publish events, which follow those that were read of their ranges, with a commit for each `chunk` of them.

        Returns:
            Whether each commit succeeded, and the events that remain in the outbox. Where a commit failed, sinks can
            have received them.
        """
        has_lost, kept = False, list[Kept]()
        for start in range(0, len(events), chunk):
            part = events[start : start + chunk]
            rest = [Kept(each, None) for each in part] if is_over() else self._publish(part)
            if rest is None:
                has_lost, rest = True, [Kept(each, None) for each in part]
                self._report.counts[RACE_LOST] += 1
            kept += rest
        return not has_lost, kept

    def _publish(self, events: Sequence[Event]) -> list[Kept] | None:
        """Publish events with one commit; return those that remain in the outbox, or None if the commit failed."""
        if not any(self._is_finished(each) or self._is_wanted(each) for each in events):
            return [self._kept(each, each.sent) for each in events]
        stalled = StalledRepositories.of(self._metadata, events)
        time = self._clock(stalled.read_at)
        received = {each.name: set(each.sent) for each in events}
        writes: list[Write] = []
        for name in self._sinks:
            for repository, until in stalled.held_back(name, time).items():
                self._held.setdefault((name, repository), until)
            wanted = [each for each in events if self._is_wanted_by(name, each)]
            if not wanted:
                continue
            outcome = self._hand(self._sinks[name], wanted, time)
            for each in outcome.accepted:
                received[each].add(name)
            stalled.note(name, outcome, wanted)
            writes += outcome.writes
        done = [each for each in events if self._sinks.keys() <= received[each.name]]
        remaining = [each for each in events if not self._sinks.keys() <= received[each.name]]
        # The time of the commit: readers allow for two minutes, and a slow sink may have taken longer.
        writes += [
            *self._finish(done, self._clock()),
            *self._note(remaining, received),
            *stalled.writes(self._sinks, time),
        ]
        if not self._commit(writes, len(done)):
            return None
        return [self._kept(each, received[each.name]) for each in remaining]

    def _kept(self, event: Event, received: Collection[str]) -> Kept:
        """Return what an event waits for that these sinks have received."""
        causes = dict[Cause, datetime | None]()
        for name in self._sinks.keys() - received:
            if name not in self._up:
                causes[name, ""] = None
            elif (name, event.target) in self._held:
                causes[name, event.target] = self._held[name, event.target]
            else:
                return Kept(event, None)
        return Kept(event, causes)

    def _is_finished(self, event: Event) -> bool:
        """Return whether all sinks have an event: the one that lacked it is not configured any more."""
        return self._sinks.keys() <= set(event.sent)

    def _is_wanted(self, event: Event) -> bool:
        return any(self._is_wanted_by(name, event) for name in self._sinks)

    def _is_wanted_by(self, name: str, event: Event) -> bool:
        return name in self._up and name not in event.sent and (name, event.target) not in self._held

    def _hand(self, sink: Sink, events: Sequence[Event], time: datetime) -> Outcome:
        """Hand events to a sink, and remember what it does not take."""
        try:
            outcome = sink.publish(events)
        except Exception as error:
            log.warning("the sink %s failed", sink.name, exc_info=True)
            outcome = Outcome(down=str(error) or type(error).__name__)
        left = [each for each in events if each.name not in outcome.accepted and each.target not in outcome.refused]
        if left and not outcome.down:
            outcome = replace(outcome, down=f"it neither accepts nor refuses event {left[0].name}")
        # Until when is in the record that the commit writes: the next run reads it.
        self._held |= {(sink.name, repository): time for repository in outcome.refused}
        self._report.stalled.update(outcome.refused)
        self._report.counts[REFUSED] += len(outcome.refused)
        if outcome.down:
            self._up.discard(sink.name)
            self._backoffs[sink.name].failed(time, outcome.down)
            self._report.has_failed_sink = True
        else:
            self._backoffs[sink.name].succeeded()
        return outcome

    def _finish(self, events: Iterable[Event], time: datetime) -> Iterable[Write]:
        return (write for each in events for write in (Delete(each), Create(published(each, time))))

    def _note(self, events: Iterable[Event], received: Mapping[str, set[str]]) -> Iterable[Write]:
        """Note who has received the events that others have not, so that they do not receive them again."""
        for each in events:
            if received[each.name] > set(each.sent):
                yield Replace(replace(each, sent=tuple(sorted(received[each.name]))))

    def _commit(self, writes: Sequence[Write], done: int) -> bool:
        if not writes:
            return True
        try:
            self._metadata.commit(writes)
        except (Conflict, TooLarge):
            return False
        self.finished += done
        self._report.counts[PUBLISHED] += done
        return True
