"""The scanner, called as Eventarc and Cloud Scheduler call it: it has no stores, and works over HTTP."""

import functools
import io
import json
import tarfile
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from emulators.cloud import Cloud
from emulators.processes import ServerProcess
from emulators.scheduler import call
from tests.cloud.containers import repository
from tests.scans.scanner_server import running
from tests.support.client_commands import ProgramRunner
from tests.support.osv_dumps import vulnerable, write_dump
from tests.support.requirements import find_program
from tests.support.server_process import Server

TIMEOUT = 120.0
"""Seconds until an image must have been scanned."""


@pytest.fixture
def scanner(cloud: Cloud, tmp_path: Path) -> Iterator[ServerProcess]:
    """A container of the scanner, which downloads data from a folder of the test."""
    folder = tmp_path / "osv"
    (folder / "npm").mkdir(parents=True)
    write_dump(folder / "npm" / "all.zip", [vulnerable("GHSA-35jh-r3h4-6jhm", "npm", "lodash", "4.17.21")])
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, running(server):
        source = f"http://127.0.0.1:{server.server_port}"
        with cloud.run_another("scan", LADING_VULNERABILITY_SOURCE=source) as container:
            yield container


def write_layer(path: Path) -> None:
    """Write a layer with one package of npm."""
    content = json.dumps({"name": "lodash", "version": "4.17.20", "license": "MIT"}).encode()
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("app/node_modules/lodash/package.json")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


def scanned(registry: Server, name: str, *states: str) -> dict[str, Any]:
    """Return the result of a scan, once it has one of these states."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        response, body = registry.request("GET", f"/v2/_lading/{name}/scan?tag=v1")
        assert response.status == 200, body
        found: dict[str, Any] = json.loads(body)
        if found["state"] in states or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def test_a_push_is_scanned_and_compared_with_data_that_is_downloaded(
    cloud: Cloud, registry: Server, scanner: ServerProcess, commands: ProgramRunner, tmp_path: Path
) -> None:
    crane = find_program("crane", "go install github.com/google/go-containerregistry/cmd/crane@latest")
    url, name = f"http://127.0.0.1:{scanner.port}", repository()
    cloud.start_scan_trigger(url)
    write_layer(tmp_path / "layer.tar")
    commands.run(
        crane, "auth", "login", registry.host, "-u", "oauth2accesstoken", "--password-stdin", stdin=cloud.token
    )

    commands.run(crane, "append", "--oci-empty-base", "-f", tmp_path / "layer.tar", "-t", f"{registry.host}/{name}:v1")

    first = scanned(registry, name, "partial", "done", "failed")
    assert (first["state"], first["missing"]) == ("partial", ["npm"])
    # The same call has downloaded what the image needed.
    assert registry.request("POST", f"/v2/_lading/{name}/scan?tag=v1")[0].status == 202
    assert call(url, cloud.accounts.events)[0] == 403
    status, report = call(url, cloud.accounts.scheduler)
    assert status == 200, report
    second = scanned(registry, name, "done")
    assert second["state"] == "done", (second, scanner.log.read_text())
    assert [each["id"] for each in second["vulnerabilities"]] == ["GHSA-35jh-r3h4-6jhm"]
    assert '"scans: ' in scanner.log.read_text()


def test_a_sweep_without_work_changes_nothing(cloud: Cloud) -> None:
    status, report = call(cloud.scan_url, cloud.accounts.scheduler)

    assert (status, json.loads(report)["scans"].get("failed", 0)) == (200, 0)
    for account in (cloud.accounts.events, cloud.accounts.scan):
        assert call(cloud.scan_url, account)[0] == 403
