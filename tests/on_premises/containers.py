"""Containers of the image that serve the registry, and requests to them."""

import contextlib
import http.client
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emulators.processes import free_port
from lading_storage.digests import digest_of
from tests.support.container_daemons import Docker
from tests.support.image_build import IMAGE
from tests.support.server_process import PROCESS_TIMEOUT, basic

HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
CONFIG = b"{}"
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(CONFIG), "size": 2},
        "layers": [],
    }
).encode()


@dataclass
class Container:
    """A container that serves the registry on loopback."""

    docker: Docker
    id: str
    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def inspect(self) -> dict[str, Any]:
        """Return its state."""
        state: dict[str, Any] = json.loads(self.docker("inspect", self.id))[0]["State"]
        return state

    def password(self) -> str:
        return self.docker("exec", self.id, "cat", "/data/registry/admin.password").strip()

    def log_in(self) -> None:
        self.docker("login", self.host, "-u", "admin", "--password-stdin", stdin=self.password())

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PROCESS_TIMEOUT)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PROCESS_TIMEOUT
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), contextlib.closing(self.connection()) as connection:
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(self.docker("logs", self.id))


def start(docker: Docker, volume: str, options: Sequence[str] = ()) -> Container:
    """Start a container that scans nothing, unless `options` say otherwise, and wait until it is ready."""
    port = free_port()
    # What a scan finds would be pushed beside the images of a test, whenever it ends, and data comes from the network.
    variables = {
        "LADING_ADDRESS": f"127.0.0.1:{port}",
        "LADING_URL": f"http://127.0.0.1:{port}",
        "LADING_SCAN": "off",
        "LADING_VULNERABILITY_SOURCE": "none",
    }
    set_variables = [word for each in variables.items() for word in ("-e", "=".join(each))]
    words = ("run", "-d", "--network", "host", *HARDENED, "-v", f"{volume}:/data", *set_variables, *options, IMAGE)
    container = Container(docker, docker(*words).strip(), port)
    container.wait_until_ready()
    return container


def request(container: Container, method: str, path: str, password: str, body: bytes = b"") -> tuple[int, bytes]:
    with contextlib.closing(container.connection()) as connection:
        headers = {"Authorization": basic("admin", password)}
        if "/manifests/" in path:
            headers["Content-Type"] = "application/vnd.oci.image.manifest.v1+json"
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()


def push_manifest(container: Container, password: str) -> None:
    upload = f"/v2/team/app/blobs/uploads/?digest={digest_of(CONFIG)}"
    assert request(container, "POST", upload, password, CONFIG)[0] == 201
    assert request(container, "PUT", "/v2/team/app/manifests/v1", password, MANIFEST)[0] == 201


def pulled(container: Container, password: str) -> bytes:
    return request(container, "GET", "/v2/team/app/manifests/v1", password)[1]
