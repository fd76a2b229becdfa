"""What policies do not gate is what no runtime runs: docker, containerd, Kubernetes with containerd, and podman.

Each image has the same program in its layer. What differs is what its manifest says of it.
"""

import contextlib
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest

from lading.registry.content.manifest_format import DOCKER_MANIFEST, OCI_ARTIFACT, OCI_MANIFEST
from lading.registry.policies.gated_types import EMPTY_TYPE, is_gated
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
CONFIGS: Final = (
    EMPTY_TYPE,
    "application/vnd.cncf.helm.config.v1+json",
    "application/vnd.cncf.notary.signature",
    "application/vnd.docker.plugin.v1+json",
    "application/vnd.wasm.config.v1+json",
    "application/json",
    "application/octet-stream",
    "text/plain",
    "application/vnd.example.unknown",
)
RUNTIMES: Final = ("docker", "containerd", "kubernetes", "podman")


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
        empty = {f"the empty config, {each}": self.manifest(EMPTY_TYPE, each, empty=True) for each in LAYERS}
        artifact = self.manifest(CONFIG, media_type=OCI_ARTIFACT, blobs=[descriptor(self.layer, LAYER)])
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
        for blob in (program.layer, program.config, b"{}"):
            response, body = server.request("POST", f"/v2/app/blobs/uploads/?digest={digest_of(blob)}", blob)
            assert response.status == 201, body

    def push(self, manifest: bytes) -> str:
        """Push a manifest; return its name."""
        self._number += 1
        media_type = {"Content-Type": json.loads(manifest)["mediaType"]}
        response, body = self._server.request("PUT", f"/v2/app/manifests/v{self._number}", manifest, media_type)
        assert response.status == 201, body
        return f"{self._server.host}/app:v{self._number}"


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
            return kubernetes(started.enter_context(kubernetes_runtime(folder, pause)))

        yield begin


@pytest.mark.parametrize("name", RUNTIMES)
def test_no_runtime_runs_what_is_not_gated(
    name: str, start: Callable[[str], Runtime], program: Program, pushed: Images
) -> None:
    runtime = start(name)
    assert runtime(pushed.push(program.manifest(CONFIG, annotations={"a": "plain image"}))) == ""

    manifests = program.not_gated()
    assert [each for each, manifest in manifests.items() if is_gated(json.loads(manifest)["mediaType"], manifest)] == []
    assert [each for each, manifest in manifests.items() if not runtime(pushed.push(manifest))] == []


def test_the_type_of_a_config_is_no_reason(start: Callable[[str], Runtime], program: Program, pushed: Images) -> None:
    """Kubernetes with containerd runs any, once a node has the layers, as from an image of another repository."""
    runtime = start("kubernetes")
    assert runtime(pushed.push(program.manifest(CONFIG))) == ""
    manifests = {each: program.manifest(each) for each in CONFIGS}

    assert [reason for manifest in manifests.values() if (reason := runtime(pushed.push(manifest)))] == []
    assert [each for each, manifest in manifests.items() if not is_gated(OCI_MANIFEST, manifest)] == []


def test_the_content_of_a_config_is_no_reason(
    start: Callable[[str], Runtime], program: Program, pushed: Images
) -> None:
    """podman compares no layer with the config: so the empty object alone is never let through, without its type."""
    runtime = start("podman")
    manifests = {
        OCI_MANIFEST: program.manifest(CONFIG, empty=True),
        DOCKER_MANIFEST: program.manifest(EMPTY_TYPE, DOCKER_LAYER, DOCKER_MANIFEST, empty=True),
    }

    assert [reason for manifest in manifests.values() if (reason := runtime(pushed.push(manifest)))] == []
    assert [each for each, manifest in manifests.items() if not is_gated(each, manifest)] == []


def test_the_types_of_layers_are_no_reason(start: Callable[[str], Runtime], program: Program, pushed: Images) -> None:
    runtime = start("containerd")
    manifests = {each: program.manifest(CONFIG, each) for each in LAYERS}

    assert [reason for manifest in manifests.values() if (reason := runtime(pushed.push(manifest)))] == []
    assert [each for each, manifest in manifests.items() if not is_gated(OCI_MANIFEST, manifest)] == []
