"""Fixtures: the two pairs of stores, in this process and below a serving registry.

A test that takes `environment`, `stores`, `registry` or `server` runs twice: on a folder and SQLite ("local"), and on
Cloud Storage and Firestore as their emulators have them ("google"). Each test has stores of its own.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import hypothesis
import pytest

from emulators import EmulatorError, Emulators, running
from lading import logs, settings
from lading.composition import open_blobs, open_metadata
from lading.registry.change_context import Clock, now
from lading.registry.registry import Registry
from lading_storage.stores import Stores
from tests.support.parallel import (
    pytest_cmdline_main,
    pytest_collection_modifyitems,
    pytest_make_parametrize_id,
    pytest_runtest_logreport,
    pytest_terminal_summary,
    pytest_xdist_make_scheduler,
)
from tests.support.requirements import skip_or_fail
from tests.support.server_process import Server, serving

__all__ = [
    "pytest_cmdline_main",
    "pytest_collection_modifyitems",
    "pytest_make_parametrize_id",
    "pytest_runtest_logreport",
    "pytest_terminal_summary",
    "pytest_xdist_make_scheduler",
]

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("without deadlines", deadline=None)
hypothesis.settings.load_profile("without deadlines")


@pytest.fixture(scope="session")
def emulators() -> Iterator[Emulators]:
    """The emulators, running for all tests of the session."""
    try:
        with running() as started:
            yield started
    except EmulatorError as error:
        skip_or_fail(str(error))


@pytest.fixture(params=["local", "google"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Mapping[str, str]:
    """The environment variables of a pair of stores of this test alone."""
    if request.param == "local":
        return {"LADING_DATA": str(tmp_path / "data")}
    emulators: Emulators = request.getfixturevalue("emulators")
    return emulators.fresh_stores()


@pytest.fixture
def stores(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stores]:
    """The stores of `environment`, opened in this process."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    read = settings.load_settings(environment)
    opened = Stores(open_blobs(read.blobs), open_metadata(read.metadata))
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    """The clock of `registry`: this machine's, unless a module has its own fixture of that name."""
    return now


@pytest.fixture
def registry(stores: Stores, clock: Clock) -> Registry:
    """A registry over `stores`, which goes by `clock`."""
    return Registry(stores.blobs, stores.metadata, clock=clock)


@pytest.fixture
def server(environment: Mapping[str, str], tmp_path: Path) -> Iterator[Server]:
    """`lading serve` on the stores of `environment`, as a process."""
    with serving(environment, tmp_path / "server.log") as started:
        yield started


@pytest.fixture(autouse=True)
def log_state() -> Iterator[None]:
    """Undo `logs.start` of a command in this process, which is meant for a process of its own.

    Its handlers write to a stream that ends with the test, its access log would be among the errors of later tests, and
    its hook would hide exceptions of threads from pytest.
    """
    loggers = [logging.getLogger(name) for name in ("lading", "py.warnings")]
    before = [(each, each.handlers[:], each.propagate, each.level) for each in loggers]
    lines, hook = vars(logs._lines).copy(), threading.excepthook
    yield
    for each, handlers, propagates, level in before:
        each.handlers, each.propagate = handlers, propagates
        each.setLevel(level)
    vars(logs._lines).clear()
    vars(logs._lines).update(lines)
    threading.excepthook = hook
    logging.captureWarnings(False)
