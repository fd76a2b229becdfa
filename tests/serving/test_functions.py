"""The function: the same app under functions-framework, and under granian where it runs in Cloud Run."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Response

import main
from lading import settings
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.function_commands import AS_BUILT, FRAMEWORK, IN_CLOUD_RUN
from tests.support.large_bodies import digest_of_zeros, zeros
from tests.support.server_process import SOURCE_ROOTS, Server, serving, user_environment

MIB = 1024 * 1024


@pytest.fixture(params=["framework", "cloud run"])
def function(request: pytest.FixtureRequest, environment: Mapping[str, str], tmp_path: Path) -> Iterator[Server]:
    """The function as a developer starts it, and as the buildpack does."""
    command, access = FRAMEWORK, ""
    if request.param == "cloud run":
        variables, access = user_environment(tmp_path / "access")
        environment, command = {**environment, **IN_CLOUD_RUN, **variables}, AS_BUILT
    with serving(environment, tmp_path / "log", command=command) as server:
        server.authorization = access
        yield server


def test_an_image_goes_in_and_comes_out(function: Server) -> None:
    layer = images.blob(100_000)
    for content in (images.EMPTY_CONFIG, layer):
        response, _ = function.request("POST", "/v2/a/b/blobs/uploads/")
        path = response.headers["Location"]
        assert function.request("PATCH", path, iter([content]))[0].status == 202
        assert function.request("PUT", f"{path}?digest={digest_of(content)}")[0].status == 201
    manifest = images.manifest([layer])
    assert function.request("PUT", "/v2/a/b/manifests/v1", manifest)[0].status == 201

    response, pulled = function.request("GET", "/v2/a/b/manifests/v1")
    assert pulled == manifest
    assert response.headers["Docker-Content-Digest"] == digest_of(manifest)
    assert function.request("GET", f"/v2/a/b/blobs/{digest_of(layer)}")[1] == layer
    response, ranged = function.request("GET", f"/v2/a/b/blobs/{digest_of(layer)}", headers={"Range": "bytes=5-9"})
    assert (response.status, ranged) == (206, layer[5:10])
    response, nothing = function.request("HEAD", "/v2/a/b/manifests/v1")
    assert (response.headers["Content-Length"], nothing) == (str(len(manifest)), b"")
    assert function.request("DELETE", "/v2/a/b/manifests/v1")[0].status == 202
    assert function.request("GET", "/v2/a/b/manifests/v1")[0].status == 404


def test_no_body_is_held_in_memory(function: Server) -> None:
    size = 200 * MIB
    response, _ = function.request("POST", "/v2/a/blobs/uploads/")
    path = response.headers["Location"]
    before = function.peak_memory()

    assert function.request("PATCH", path, zeros(size))[0].status == 202
    assert function.request("PUT", f"{path}?digest={digest_of_zeros(size)}")[0].status == 201

    assert function.peak_memory() - before < 64 * MIB


def test_an_early_refusal_reads_nothing_into_memory(function: Server) -> None:
    before = function.peak_memory()

    # http.client sends to the end, or until the server hangs up, before it listens.
    try:
        response, _ = function.request("PATCH", "/v2/a/blobs/uploads/absent", zeros(200 * MIB))
        assert response.status == 404
    except (BrokenPipeError, ConnectionResetError):
        pass

    assert function.peak_memory() - before < 32 * MIB
    assert function.request("GET", "/v2/")[0].status == 200


def test_cloud_run_refuses_to_serve_everybody(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="everybody is for loopback alone"),
        serving({**IN_CLOUD_RUN, "LADING_DATA": str(tmp_path)}, tmp_path / "log", command=AS_BUILT),
    ):
        pass


def test_the_framework_listens_everywhere_but_answers_only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LADING_ACCESS", "everybody")
    environ = EnvironBuilder(path="/v2/", environ_base={"REMOTE_ADDR": "192.0.2.1"}).get_environ()

    response = cast(Response, main.registry(Request(environ)))

    assert response.status_code == 403
    assert b"LADING_ACCESS" in response.get_data()


@pytest.mark.parametrize("front", ["LADING_TRUSTED_HOPS", "K_SERVICE"])
def test_with_a_proxy_no_client_counts_as_local(front: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy may be."""
    monkeypatch.setenv("LADING_ACCESS", "everybody")
    monkeypatch.setenv(front, "1")
    environ = EnvironBuilder(path="/v2/", environ_base={"REMOTE_ADDR": "127.0.0.1"}).get_environ()

    with pytest.raises(settings.SettingsError, match="everybody is for loopback alone"):
        main.registry(Request(environ))


LEVEL = """
import logging
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request
import main; from lading import job_table, scheduled
main._app() if {app} else scheduled.run_slice(job_table.COLLECT, Request(EnvironBuilder(method="POST").get_environ()))
assert logging.getLogger("lading").level == logging.DEBUG
"""


@pytest.mark.parametrize("app", [True, False], ids=["registry", "collect"])
def test_a_function_logs_at_the_level_of_the_settings(app: bool, tmp_path: Path) -> None:
    environment = {"LADING_DATA": str(tmp_path), "LADING_LOG_LEVEL": "debug", "LADING_ACCESS": "everybody"}
    environment["PYTHONPATH"] = SOURCE_ROOTS  # where `main` is
    subprocess.run([sys.executable, "-c", LEVEL.format(app=app)], env={**os.environ, **environment}, check=True)
