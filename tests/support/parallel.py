"""Four processes share the tests of a folder (pytest-xdist); tests/conftest.py registers the hooks of this module.

A file runs in one process, so that its module fixtures are set up once, and so does each of SHARED_FOLDERS. No test
depends on being alone on the machine: what they measure are counts, and a process's own memory and CPU time.
"""

import re
import time
from importlib import import_module
from typing import Any, Final

import pytest

WORKERS: Final = 4
"""Twice CI's cores: four tenths of the time of a process its tests wait, for disks, servers and timeouts."""

SHARED_FOLDERS: Final = ("tests/on_premises", "tests/terraform/lifecycle", "tests/cloud", "tests/clients", "tests")
"""Folders whose tests share fixtures that are expensive, or write to the checkout; what takes longest is first."""

SLOW_FOLDERS: Final = (
    *("tests/terraform", "tests/deploy", "tests/model", "tests/faults", "tests/conformance", "tests/envoy"),
    *("tests/serving", "tests/commands", "tests/jobs"),
)
"""Folders with files that take longest; a file of seconds comes last, so that all processes end together."""

DIGEST: Final = re.compile(r"\b(sha256|sha512):[0-9a-f]{64,128}")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Use WORKERS processes, unless the command line has a number of them, a debugger, no capturing, or only files."""
    options = config.option
    if hasattr(config, "workerinput") or getattr(options, "numprocesses", 0) is not None:
        return
    files_only = all(argument.partition("::")[0].endswith(".py") for argument in config.args)
    if not (files_only or options.collectonly or options.usepdb or options.capture == "no"):
        options.numprocesses = WORKERS
        options.loadscopereorder = False  # the order is that of pytest_collection_modifyitems


def pytest_make_parametrize_id(val: object) -> str | None:
    """Return an id without digests and binary content, which may be random: all processes must have the same ids."""
    if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable()):
        return "bytes"
    text = val.decode() if isinstance(val, bytes) else val
    return DIGEST.sub(r"\1", text) if isinstance(text, str) and DIGEST.search(text) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what takes longest in one process, so that the others do not wait for it at the end."""
    order = {folder: number for number, folder in enumerate((*SHARED_FOLDERS, *SLOW_FOLDERS))}
    items.sort(key=lambda item: order.get(_unit(item.nodeid), order.get(_folder(item.nodeid), len(order))))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return a scheduler of files and SHARED_FOLDERS, unless the command line has another distribution."""
    if config.option.dist != "load":
        return None
    scheduler = import_module("xdist.scheduler").LoadScopeScheduling(config, log)
    scheduler._split_scope = _unit
    return scheduler


_last_reports: Final[dict[str, tuple[float, str]]] = {}
"""Of each process: when its last test ended, and the unit of that."""


def pytest_runtest_logreport(report: Any) -> None:
    """Note when a process has ended a test; without several processes a report has no node."""
    if node := getattr(report, "node", None):
        _last_reports[node.gateway.id] = time.monotonic(), _unit(report.nodeid)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how long each process was idle at the end: a large unit has started too late."""
    end = max((ended for ended, _ in _last_reports.values()), default=0.0)
    for name, (ended, unit) in sorted(_last_reports.items()):
        terminalreporter.write_line(f"{name} was idle for {end - ended:.0f} s at the end, after {unit}")


def _unit(nodeid: str) -> str:
    """Return the folder or file whose tests run in one process."""
    path, folder = nodeid.partition("::")[0], _folder(nodeid)
    return folder if folder in SHARED_FOLDERS else path


def _folder(nodeid: str) -> str:
    return nodeid.partition("::")[0].rpartition("/")[0]
