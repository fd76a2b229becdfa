"""Which requests are sampled, and that no client decides it: forged, broken and hostile headers."""

from pathlib import Path

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, ParentBasedTraceIdRatio, Sampler, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from lading.http.trace_context import remote_parent, trace_id
from lading.log_text import ABSENT
from lading.traces.sampler import MAX_BURST, ClientProofSampler
from tests.support.auth_fixtures import Clock
from tests.support.otlp_collector import Collector
from tests.traces.traced_registry import tracing

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
LOW_ID = "0af7651916cd43dd0000000000000001"
"""An id that every ratio but 0 samples."""

BROKEN = [
    "",
    "-",
    "00",
    f"00-{TRACE}-{SPAN}",
    f"ff-{TRACE}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}-01-more",
    f"00-{TRACE.upper()}-{SPAN}-01",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE}-{SPAN}-1",
    f" {PARENT}",
    f"{PARENT}\n",
    f"00-{TRACE}-{SPAN}-\N{ARABIC-INDIC DIGIT ONE}1",
    f"{PARENT},{PARENT}",
    "x" * 60_000,
]
BROKEN_CLOUD = [
    TRACE,
    f"{TRACE}/0;o=1",
    f"{TRACE}/18446744073709551616;o=1",
    f"{TRACE}/-1;o=1",
    f"{TRACE}/1;o=x",
    "/1;o=1",
]


def remote(sampled: bool, trace: str = TRACE) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return set_span_in_context(NonRecordingSpan(SpanContext(int(trace, 16), 1, True, flags)), Context())


def sampled(sampler: Sampler, context: Context, trace: str = TRACE, times: int = 100) -> int:
    """How many requests of so many are sampled."""
    results = [sampler.should_sample(context, int(trace, 16), "end-3") for _ in range(times)]
    return sum(result.decision is Decision.RECORD_AND_SAMPLE for result in results)


def test_a_flag_is_heard_once_a_second_where_it_asks_for_more_than_the_ratio() -> None:
    clock = Clock()
    sampler = ClientProofSampler(ParentBasedTraceIdRatio(0.0), clock)
    assert sampled(sampler, Context()) == 0
    assert sampled(sampler, remote(True)) == MAX_BURST
    assert sampled(sampler, remote(True)) == 0
    clock.now += 3
    assert sampled(sampler, remote(True)) == 3
    clock.now += 3600
    assert sampled(sampler, remote(True)) == MAX_BURST


def test_an_id_of_a_clients_choice_changes_nothing() -> None:
    for ratio in (TraceIdRatioBased(1e-9), ParentBasedTraceIdRatio(1e-9)):
        assert sampled(ratio, Context(), LOW_ID, 1) == 1
        sampler = ClientProofSampler(ratio, Clock())
        assert sampled(sampler, remote(True, LOW_ID), LOW_ID, 1000) <= MAX_BURST
        assert sampled(sampler, remote(False, LOW_ID), LOW_ID, 1000) == 0


def test_the_ratio_counts_for_requests_with_a_header_as_well() -> None:
    sampler = ClientProofSampler(TraceIdRatioBased(0.5), Clock())
    assert 300 < sampled(sampler, remote(False), times=1000) < 700
    assert 300 < sampled(sampler, remote(True), times=1000) < 700


def test_without_a_ratio_each_request_is_sampled_unless_its_parent_is_not() -> None:
    assert sampled(ClientProofSampler(ALWAYS_ON, Clock()), remote(True)) == 100
    sampler = ClientProofSampler(ParentBasedTraceIdRatio(1.0), Clock())
    assert (sampled(sampler, Context()), sampled(sampler, remote(True)), sampled(sampler, remote(False))) == (
        100,
        100,
        0,
    )


@pytest.mark.parametrize(
    ("header", "value"),
    [
        *(("TRACEPARENT", value) for value in BROKEN),
        *(("X_CLOUD_TRACE_CONTEXT", value) for value in (*BROKEN, *BROKEN_CLOUD)),
    ],
)
def test_a_header_that_is_not_valid_counts_as_none(header: str, value: str) -> None:
    assert remote_parent({f"HTTP_{header}": value}) is None


def test_a_valid_header_names_the_parent() -> None:
    parent = (int(TRACE, 16), int(SPAN, 16), True)
    assert remote_parent({"HTTP_TRACEPARENT": PARENT}) == parent
    assert remote_parent({"HTTP_TRACEPARENT": f"{PARENT[:-2]}00"}) == (*parent[:2], False)
    assert remote_parent({"HTTP_TRACEPARENT": f"01{PARENT[2:]}-more"}) == parent
    cloud = f"{TRACE}/{int(SPAN, 16)}"
    assert remote_parent({"HTTP_X_CLOUD_TRACE_CONTEXT": f"{cloud};o=1"}) == parent
    assert remote_parent({"HTTP_X_CLOUD_TRACE_CONTEXT": cloud}) == (*parent[:2], False)
    both = {"HTTP_X_CLOUD_TRACE_CONTEXT": TRACE, "HTTP_TRACEPARENT": PARENT}
    assert remote_parent(both) == parent
    assert trace_id(both) == TRACE
    assert trace_id({}) == ABSENT


def test_requests_with_any_header_are_served_and_join_only_a_valid_trace(tmp_path: Path, enabled: Collector) -> None:
    with tracing(tmp_path) as registry:
        for value in BROKEN:
            assert registry.send(TRACEPARENT=value, X_CLOUD_TRACE_CONTEXT=value) == 200
        assert registry.send(TRACEPARENT=PARENT, TRACESTATE="a=1,b=2") == 200
        assert registry.send(TRACEPARENT=f"{PARENT[:-2]}00") == 200
    enabled.wait_for(lambda: len(enabled.named("end-1")) >= len(BROKEN) + 1)

    spans = enabled.named("end-1")
    assert [(span.trace, span.parent) for span in spans if span.parent] == [(TRACE, SPAN)]
    assert len({span.trace for span in spans}) == len(BROKEN) + 1


def test_one_client_cannot_force_exports(tmp_path: Path, enabled: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    monkeypatch.setattr("lading.traces.sampler.MAX_FORCED", 0.0)
    with tracing(tmp_path) as registry:
        for _ in range(200):
            assert registry.send(TRACEPARENT=PARENT) == 200
    enabled.wait_for(lambda: len(enabled.named("end-1")) >= MAX_BURST)
    assert len(enabled.named("end-1")) == MAX_BURST
