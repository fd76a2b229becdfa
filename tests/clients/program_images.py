"""Images of one program, whose manifests say different things of it, and the runtimes that run it or refuse."""

import contextlib
import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest

from lading.registry.content.manifest_format import OCI_ARTIFACT, OCI_INDEX, OCI_MANIFEST
from lading.registry.policies.gated_types import EMPTY_TYPE, EMPTY_TYPES
from lading_storage.digests import digest_of
from tests.support.client_commands import ProgramRunner
from tests.support.images import descriptor
from tests.support.kubernetes_runtime import kubernetes_runtime
from tests.support.runtimes import (
    Runtime,
    containerd_runtime,
    docker_runtime,
    kubernetes,
    layer_with_program,
    podman_runtime,
)
from tests.support.server_process import Server, serving

CONFIG: Final = "application/vnd.oci.image.config.v1+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
LAYERS: Final = (
    LAYER,
    "application/octet-stream",
    "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    "application/vnd.dev.cosign.simplesigning.v1+json",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.in-toto+json",
)
NIGHTLY: Final = os.environ.get("LADING_NIGHTLY") == "1"
RUNTIMES: Final = ("docker", "containerd", "kubernetes", "podman", *(["kubernetes2"] if NIGHTLY else []))
"""All runtimes; kubernetes2 has containerd 2, which is built at night only."""


@dataclass(frozen=True)
class Program:
    """The blobs of an image of the program."""

    layer: bytes
    config: bytes

    def manifest(
        self,
        config_type: str,
        layer_type: str = LAYER,
        media_type: str = OCI_MANIFEST,
        *,
        empty: bool = False,
        **fields: Any,
    ) -> bytes:
        """A manifest that names these blobs; or the empty object as config."""
        config = b"{}" if empty else self.config
        parts = {"config": descriptor(config, config_type), "layers": [descriptor(self.layer, layer_type)]}
        return json.dumps({"schemaVersion": 2, "mediaType": media_type, **parts, **fields}).encode()

    def not_gated(self) -> Mapping[str, bytes]:
        """Each kind of manifest that is not gated and names a layer, with layers of all types."""
        empty = {
            f"the empty config {named}, {each}": self.manifest(named, each, empty=True)
            for named in sorted(EMPTY_TYPES)
            for each in (LAYERS if named == EMPTY_TYPE else LAYERS[:1])
        }
        fields = {"artifactType": CONFIG, "blobs": [descriptor(self.layer, LAYER)]}
        artifact = json.dumps({"mediaType": OCI_ARTIFACT, **fields}).encode()
        referrer = self.manifest(
            EMPTY_TYPE, empty=True, artifactType="application/x", subject=descriptor(b"x", OCI_MANIFEST)
        )
        return {**empty, "an artifact manifest": artifact, "a referrer": referrer}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    layer = layer_with_program(tmp_path_factory.mktemp("program"))
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}
    run = {"Entrypoint": ["/program"], "Cmd": ["wait"]}
    config = {"architecture": "amd64", "os": "linux", "config": run, "rootfs": rootfs}
    return Program(gzip.compress(layer, mtime=0), json.dumps(config).encode())


class Images:
    """Images of the program in a registry."""

    def __init__(self, server: Server, program: Program) -> None:
        self._server = server
        self._number = 0
        self.push_blobs(program.layer, program.config, b"{}")

    def push_blobs(self, *blobs: bytes) -> None:
        for blob in blobs:
            response, body = self._server.request("POST", f"/v2/app/blobs/uploads/?digest={digest_of(blob)}", blob)
            assert response.status == 201, body

    def push(self, manifest: bytes, media_type: str = "") -> str:
        """Push a manifest, of a type that it need not name; return its name."""
        self._number += 1
        headers = {"Content-Type": media_type or json.loads(manifest)["mediaType"]}
        response, body = self._server.request("PUT", f"/v2/app/manifests/v{self._number}", manifest, headers)
        assert response.status == 201, body
        return f"{self._server.host}/app:v{self._number}"

    def push_below(self, manifest: bytes, media_type: str, named_type: str) -> str:
        """Push a manifest of a type that it does not name, and an index that names another one; return its name."""
        self.push(manifest, media_type)
        entry = descriptor(manifest, named_type) | {"platform": {"os": "linux", "architecture": "amd64"}}
        return self.push(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode())


@pytest.fixture
def pushed(program: Program, tmp_path: Path) -> Iterator[Images]:
    with serving({"LADING_DATA": str(tmp_path / "data")}, tmp_path / "server.log") as server:
        yield Images(server, program)


@pytest.fixture
def start(
    request: pytest.FixtureRequest, commands: ProgramRunner, program: Program, pushed: Images, tmp_path: Path
) -> Iterator[Callable[[str], Runtime]]:
    """Start a runtime by its name, with nothing in it."""

    with contextlib.ExitStack() as started:

        def begin(name: str) -> Runtime:
            match name:
                case "docker":
                    return docker_runtime(request.getfixturevalue("docker"))
                case "containerd":
                    return containerd_runtime(request.getfixturevalue("ctr"))
                case "podman":
                    folder = Path(started.enter_context(TemporaryDirectory(prefix="podman")))
                    return podman_runtime(commands, folder)
            folder = tmp_path / "kubernetes"
            folder.mkdir()
            pause = pushed.push(program.manifest(CONFIG))
            version = name.removeprefix("kubernetes")
            return kubernetes(started.enter_context(kubernetes_runtime(folder, pause, version)))

        yield begin
