"""Where a process has no CPU after a response, the response's spans are exported before its last bytes are sent."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lading.traces import exporter
from tests.support import images
from tests.support.otlp_collector import Collector
from tests.traces.traced_registry import tracing


class CountedEvent(threading.Event):
    """An event that counts how often a request waits for it."""

    waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        if timeout == exporter.FLUSH_TIMEOUT and threading.current_thread() is threading.main_thread():
            CountedEvent.waits += 1
        return super().wait(timeout)


@pytest.fixture(autouse=True)
def in_cloud_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_SERVICE", "registry")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    monkeypatch.setattr(exporter, "FLUSH_TIMEOUT", 30.0)


@pytest.fixture
def enabled(enabled: Collector, monkeypatch: pytest.MonkeyPatch) -> Collector:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    return enabled


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """How often responses have waited for an export."""
    CountedEvent.waits = 0
    monkeypatch.setattr(threading, "Event", CountedEvent)
    yield CountedEvent
    monkeypatch.undo()


def test_a_short_response_is_exported_before_it_is_sent(tmp_path: Path, enabled: Collector) -> None:
    with tracing(tmp_path) as registry:
        response = registry.request()
        assert enabled.names() == {"end-1": 1, "authenticate": 1, "authorize": 1}
        response.close()
        assert len(enabled.named("end-1")) == 1


def test_a_stream_is_exported_before_its_last_chunk(tmp_path: Path, enabled: Collector) -> None:
    layer = images.blob(1_000_000)
    with tracing(tmp_path) as registry:
        response = registry.request("GET", f"/v2/team/app/blobs/{registry.push_blob(layer)}")
        exported = [(chunk, len(enabled.named("end-2"))) for chunk in response]
        response.close()
    assert b"".join(chunk for chunk, _ in exported) == layer
    assert len(exported) > 2
    assert [count for _, count in exported] == [0] * (len(exported) - 1) + [1]


def test_an_abandoned_stream_is_exported(tmp_path: Path, enabled: Collector) -> None:
    with tracing(tmp_path) as registry:
        response = registry.request("GET", f"/v2/team/app/blobs/{registry.push_blob(images.blob(1_000_000))}")
        next(iter(response))
        response.close()
        assert len(enabled.named("end-2")) == 1


def test_a_request_that_is_not_sampled_waits_for_nothing(
    tmp_path: Path, enabled: Collector, waits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with tracing(tmp_path) as registry:
        assert {registry.send() for _ in range(20)} == {200}
        assert waits.waits == 0


def test_responses_wait_for_a_slow_collector_once_until_it_is_prompt_again(
    tmp_path: Path, enabled: Collector, waits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "FLUSH_TIMEOUT", 0.125)
    responds = threading.Event()
    enabled.before = responds.wait
    with tracing(tmp_path) as registry:
        assert {registry.send() for _ in range(100)} == {200}
        assert waits.waits == 1
        monkeypatch.setattr(exporter, "FLUSH_TIMEOUT", 30.0)
        responds.set()
        enabled.wait_for(lambda: len(enabled.named("end-1")) == 100)
        enabled.wait_for(lambda: registry.send() == 200 and waits.waits > 1)


def test_responses_do_not_wait_for_a_collector_that_refuses(tmp_path: Path, enabled: Collector, waits: Any) -> None:
    enabled.status = 401
    with tracing(tmp_path) as registry:
        assert {registry.send() for _ in range(100)} == {200}
        assert waits.waits == 1
