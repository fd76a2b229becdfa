"""A registry in this process whose requests are traced, and `lading serve` as a process with a collector."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from werkzeug.test import EnvironBuilder

from lading import settings
from lading.app import App, request_of
from lading.composition import create
from lading.http.responses import Response
from lading.traces.traces import Traces
from lading_storage.digests import digest_of
from tests.support.otlp_collector import Collector
from tests.support.server_process import Server, serving

SCHEDULE = "100"
"""Milliseconds between two exports."""


def variables(collector: Collector) -> dict[str, str]:
    """The variables that enable traces."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": SCHEDULE}


@contextlib.contextmanager
def serving_traces(
    folder: Path, collector: Collector, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A server with its data in `folder`, which exports to the collector."""
    data = {"LADING_DATA": str(folder / "data")}
    with serving({**data, **variables(collector), **(environment or {})}, folder / "log") as server:
        yield server


class TracedRegistry:
    """An app in this process, and requests to it without a server."""

    def __init__(self, app: App) -> None:
        self.app = app

    def request(self, method: str = "GET", path: str = "/v2/", **headers: str) -> Response:
        """The response to a request, not yet sent; names of headers are those of WSGI without HTTP_."""
        environ: dict[str, Any] = EnvironBuilder(path, method=method).get_environ()
        environ |= {"REMOTE_ADDR": "127.0.0.1"} | {f"HTTP_{name}": value for name, value in headers.items()}
        return self.app.respond(request_of(environ))

    def push_blob(self, content: bytes, repository: str = "team/app") -> str:
        """The digest of a blob that has been pushed."""
        digest = digest_of(content)
        path = f"/v2/{repository}/blobs/uploads/?digest={digest}"
        builder = EnvironBuilder(path, method="POST", data=content)
        with contextlib.closing(self.app.respond(request_of(builder.get_environ()))) as response:
            assert response.status == 201
        return digest

    def send(self, method: str = "GET", path: str = "/v2/", **headers: str) -> int:
        """The status of a response that has been sent."""
        with contextlib.closing(self.request(method, path, **headers)) as response:
            b"".join(response)
            return response.status


@contextlib.contextmanager
def tracing(
    folder: Path, environment: Mapping[str, str] | None = None, exporter: Any = None
) -> Iterator[TracedRegistry]:
    """A traced registry with its data in `folder`, or the stores of an environment. OTEL_* are this process' own."""
    read = settings.load_settings(
        {"LADING_DATA": str(folder / "data"), "LADING_ACCESS": "everybody", **(environment or {})}
    )
    with contextlib.closing(Traces(read, exporter)) as traces:
        app = create(read, traces=traces)
        with contextlib.closing(app.registry):
            yield TracedRegistry(app)
