"""The OCI's own conformance suite for registries, against both pairs of stores, with authentication on.

The suite counts more than it lists: `tests` holds the steps of every group, `testcase` only what has a request of its
own. It ends with status 0 where its settings are wrong, so the report has to be a fresh one, and long enough.
"""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.requirements import find_program
from tests.support.server_process import Server, serving, user_environment

HOW = "go install github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111"
MIN_PASSES = 800
SUITE_TIMEOUT = 120.0

IGNORED_RANGE = "blobs/range requests/range 500-0"
"""A range whose end is before its start is no range, and is ignored (RFC 9110, section 14.1.1). The suite says Skip."""

OPTIONAL = "blobs/post cancel/blob-post-cancel"
"""Stable leaves it out; dev has it."""

ANYWHERE = "blobs/mount anonymous/blob-mount-anonymous"
"""A mount that names no source looks only where the token may pull, and the suite's token names the target alone."""


@dataclass(frozen=True)
class SuiteReport:
    """What the suite says of a run; `not_passed` maps a case's name to its status and its log."""

    passes: int
    failures: int
    errors: int
    not_passed: dict[str, str]


def run_suite(server: Server, version: str, folder: Path) -> str:
    """Run the suite, results into `folder`; return what it prints."""
    environment = {
        "PATH": os.environ["PATH"],
        "OCI_REGISTRY": server.host,
        "OCI_TLS": "disabled",
        "OCI_USERNAME": "admin",
        "OCI_PASSWORD": "secret",
        "OCI_REPO1": "conformance/one",
        "OCI_REPO2": "conformance/two",
        "OCI_VERSION": version,
        "OCI_RESULTS_DIR": str(folder),
    }
    # A folder of its own, where no oci-conformance.yaml lies about.
    folder.mkdir()
    done = subprocess.run(
        [find_program("conformance", HOW)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SUITE_TIMEOUT,
        check=False,
    )
    return f"{done.stdout}\nexit status {done.returncode}"


def read_report(junit: Path) -> SuiteReport:
    suites = ElementTree.parse(junit).getroot()
    tests, failures, errors, skipped, disabled = (
        int(suites.get(name, "0")) for name in ("tests", "failures", "errors", "skipped", "disabled")
    )
    not_passed = {
        case.get("name", ""): f"{case.get('status')}\n{case.findtext('system-err', '')}"
        for case in suites.iter("testcase")
        if case.get("status") != "passed"
    }
    return SuiteReport(tests - failures - errors - skipped - disabled, failures, errors, not_passed)


@pytest.mark.parametrize("version", ["stable", "dev"])
def test_the_official_suite_passes(environment: Mapping[str, str], tmp_path: Path, version: str) -> None:
    folder = tmp_path / "results"
    access, _ = user_environment(tmp_path / "access")

    with serving({**environment, **access}, tmp_path / "server.log") as server:
        assert server.request("GET", "/v2/conformance/one/tags/list")[0].status == 401
        printed = run_suite(server, version, folder)

    junit = folder / "junit.xml"
    assert junit.is_file(), printed
    report = read_report(junit)
    unexpected = {
        name: log
        for name, log in report.not_passed.items()
        if not name.endswith((IGNORED_RANGE, ANYWHERE, *([OPTIONAL] if version == "stable" else [])))
    }
    assert not unexpected, "\n".join(f"{name}: {log}" for name, log in unexpected.items())
    assert (report.failures, report.errors) == (0, 0), printed
    assert report.passes > MIN_PASSES, printed
    assert printed.endswith("exit status 0"), printed
