"""Sampler: the one that the environment names, which no client can make sample more than it would by itself.

A parent that is remote is a header that any client can send. With a sampler that follows it (parentbased_*), its flag
would let one anonymous client export every request of its own; with one that goes by the id of the trace
(traceidratio), so would an id of its choice. So for such a request:

- the sampler decides for a random id, not for the client's;
- a flag that asks for more than the sampler would take of a request without a header takes one of MAX_FORCED a second.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

MAX_FORCED: Final = 1.0
"""Requests a second that are sampled only since their header asks for it: ten times what Google's front end samples of
one instance of Cloud Run, https://cloud.google.com/run/docs/trace#sampling-rate."""

MAX_BURST: Final = 10.0
"""How many of them there may be at once."""

DROPPED: Final = SamplingResult(Decision.DROP)


class ClientProofSampler(Sampler):
    """Sampler that limits what clients can force another one to sample. Thread-safe."""

    def __init__(self, sampler: Sampler, clock: Callable[[], float] = time.monotonic) -> None:
        """Decide by `sampler`."""
        self._sampler = sampler
        self._clock = clock
        self._tokens = MAX_BURST
        self._updated = clock()
        self._lock = threading.Lock()

    def should_sample(  # noqa: PLR0913, PLR0917  # as the interface has it
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return the decision about a span."""
        if not get_current_span(parent_context).get_span_context().is_remote:
            return self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        id = random.getrandbits(128)
        result = self._sampler.should_sample(parent_context, id, name, kind, attributes, links, trace_state)
        if result.decision is Decision.DROP:
            return result
        unasked = self._sampler.should_sample(Context(), id, name, kind, attributes, links, trace_state)
        return result if unasked.decision is not Decision.DROP or self._take() else DROPPED

    def get_description(self) -> str:
        """Return the sampler's description."""
        return f"ClientProof{{{self._sampler.get_description()}}}"

    def _take(self) -> bool:
        """Take a token of the bucket, and return whether there was one."""
        with self._lock:
            now = self._clock()
            self._tokens = min(MAX_BURST, self._tokens + (now - self._updated) * MAX_FORCED)
            self._updated = now
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True
