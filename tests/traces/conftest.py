"""Fixtures: a collector, with and without this process' own variables that name it."""

import logging
import os
from collections.abc import Iterator

import pytest

from tests.support.otlp_collector import Collector, collecting
from tests.traces.traced_registry import variables


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """OpenTelemetry's variables and loggers are those of a test alone."""
    for name in [each for each in os.environ if each.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    logger = logging.getLogger("opentelemetry")
    handlers, propagate = logger.handlers, logger.propagate
    filters = [(handler, list(handler.filters)) for handler in logging.getLogger("lading").handlers]
    yield
    logger.handlers, logger.propagate = handlers, propagate
    for handler, before in filters:
        handler.filters = before


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that takes all spans."""
    with collecting() as started:
        yield started


@pytest.fixture
def enabled(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Collector:
    """The same, named by this process' own variables."""
    for name, value in variables(collector).items():
        monkeypatch.setenv(name, value)
    return collector
