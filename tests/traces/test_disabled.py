"""Without an endpoint, or disabled: nothing is imported, and nothing is in a request's path."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from emulators.processes import free_port
from lading.settings import SettingsError
from lading.traces.environment import are_enabled
from tests.support.server_process import SOURCE_ROOTS, run_lading

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}

PULL = """
import sys
from werkzeug.test import EnvironBuilder
from lading import settings
from lading.app import App, request_of
from lading.commands.serve import _export_traces
from lading.composition import create
read = settings.load_settings()
with _export_traces(read) as traces:
    app = create(read, traces=traces)
    environ = EnvironBuilder("/v2/team/app/manifests/v1").get_environ()
    assert app.respond(request_of(environ)).status == 404
    names = [type(each).__name__ for each in (app.registry.metadata, app.registry.objects, app.authenticator)]
    print(traces, app.respond == app._respond, *names)
print(*sorted(name for name in sys.modules if name.startswith(("lading.traces", "opentelemetry.", "prometheus"))))
"""

WITHOUT_PACKAGES = """
import sys
sys.modules["opentelemetry"] = None
from lading import cli
sys.exit(cli.main(["serve"]))
"""


def _run(program: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    variables = {"PYTHONPATH": SOURCE_ROOTS, "LADING_ACCESS": "everybody", **environment}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)


def test_without_an_endpoint_nothing_is_imported_or_in_the_path(environment: Mapping[str, str]) -> None:
    done = _run(PULL, environment)
    assert done.returncode == 0, done.stderr
    graph, imported = done.stdout.split("\n")[:2]
    google = "LADING_BLOBS" in environment
    stores = "FirestoreMetadata CloudStorageBlobs" if google else "SqliteMetadata FilesystemBlobs"
    assert graph == f"None True {stores} OpenAuthenticator"
    # Google's clients import its API, if it is installed.
    assert [name for name in imported.split() if not google or ".sdk" in name or ".exporter" in name] == []


@pytest.mark.parametrize("disabled", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_disabled_by_a_variable_they_import_nothing_of_opentelemetry(
    tmp_path: Path, disabled: Mapping[str, str]
) -> None:
    done = _run(PULL, {"LADING_DATA": str(tmp_path / "data"), **ENDPOINT, **disabled})
    assert done.returncode == 0, done.stderr
    graph, imported = done.stdout.split("\n")[:2]
    assert graph == "None True SqliteMetadata FilesystemBlobs OpenAuthenticator"
    assert imported == "lading.traces lading.traces.environment"


def test_without_the_packages_the_start_says_what_to_install(tmp_path: Path) -> None:
    address = {"LADING_ADDRESS": f"127.0.0.1:{free_port()}", "LADING_DATA": str(tmp_path / "data")}
    done = _run(WITHOUT_PACKAGES, {**address, **ENDPOINT})
    assert done.returncode == 1
    assert "pip install 'lading-registry[traces]'" in done.stderr


def test_another_protocol_is_refused(tmp_path: Path) -> None:
    done = run_lading(["serve"], tmp_path, {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert done.returncode == 1
    assert "OTEL_EXPORTER_OTLP_PROTOCOL is http/protobuf" in done.stderr
    with pytest.raises(SettingsError):
        are_enabled({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"})
    assert are_enabled({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
