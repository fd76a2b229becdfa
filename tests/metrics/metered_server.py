"""`lading serve --metrics` as a process, and its scrapes."""

import contextlib
import http.client
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from emulators.processes import free_port
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.server_process import PROCESS_TIMEOUT, Server, serving

SCRAPE_TIMEOUT = 10.0
"""Seconds that Prometheus waits for a scrape by default."""


@dataclass(frozen=True)
class Series:
    """A time series."""

    name: str
    labels: frozenset[tuple[str, str]]


Scrape = Mapping[Series, float]


def parse(text: str) -> dict[Series, float]:
    """The series of an exposition, with their values."""
    return {
        Series(sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(scrape: Scrape, name: str, /, **labels: str) -> float:
    """The sum of the series of a name that have these labels."""
    return sum(value for each, value in scrape.items() if each.name == name and labels.items() <= each.labels)


@dataclass(frozen=True)
class MeteredServer:
    """A server whose metrics are at a port of their own."""

    server: Server
    port: int

    def get(self, path: str = "/metrics", method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
        """One request to the metrics' listener."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=SCRAPE_TIMEOUT)) as client:
            client.request(method, path)
            response = client.getresponse()
            return response, response.read()

    def exposition(self) -> str:
        """What Prometheus would read."""
        response, content = self.get()
        assert response.status == 200
        return content.decode()

    def scrape(self) -> Scrape:
        """The series of now."""
        return parse(self.exposition())

    def wait_for(self, value: float, name: str, /, **labels: str) -> None:
        """Wait until the series of a name that have these labels sum up to a value, or more."""
        deadline = time.monotonic() + PROCESS_TIMEOUT
        while total(self.scrape(), name, **labels) < value:
            assert time.monotonic() < deadline, self.exposition()
            time.sleep(0.2)

    def push(self, repository: str, layer: bytes) -> None:
        """Push an image with a layer, tagged v1."""
        for content in (images.EMPTY_CONFIG, layer):
            path = f"/v2/{repository}/blobs/uploads/?digest={digest_of(content)}"
            assert self.server.request("POST", path, content)[0].status == 201
        headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
        manifest = images.manifest([layer])
        assert self.server.request("PUT", f"/v2/{repository}/manifests/v1", manifest, headers)[0].status == 201

    def pull(self, repository: str, layer: bytes) -> None:
        """Pull it."""
        for path in ("manifests/v1", f"blobs/{digest_of(layer)}"):
            assert self.server.request("GET", f"/v2/{repository}/{path}")[0].status == 200


@contextlib.contextmanager
def serving_metrics(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[MeteredServer]:
    """A server with its data in `folder`."""
    port = free_port()
    variables = {"LADING_DATA": str(folder / "data"), "LADING_METRICS": f"127.0.0.1:{port}", **(environment or {})}
    with serving(variables, folder / "log") as server:
        yield MeteredServer(server, port)
