"""Real clients are refused with the reason in their own output, and served once the image is signed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from lading.signatures.cosign_bundle import PREDICATE
from lading.signatures.signature import BUNDLE
from lading_storage.digests import digest_of
from tests.clients.pulling_clients import CLIENTS, Node
from tests.support import images
from tests.support.client_commands import ProgramRunner
from tests.support.oci_layouts import Layout
from tests.support.policies import pem_of
from tests.support.requirements import find_program
from tests.support.server_process import Server, serving
from tests.support.signatures import RELEASE
from tests.support.vex_documents import bundle, envelope

POLICY: Final = """
[[policies]]
name = "prod"
repositories = ["prod/*"]
mode = "enforce"
signatures.keys = [{{name = "release", pem = '''{pem}'''}}]
"""

REASON: Final = "policy prod: it is not signed by release; ask: lading why prod/app@sha256:"

EMPTY: Final = b"{}"
EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"


@dataclass
class GatedRegistry:
    """A registry with a policy, and an image in a repository that it names."""

    server: Server
    layout: Layout

    @property
    def image(self) -> str:
        """The name of the image."""
        return f"{self.server.host}/prod/app:v1"

    def sign(self, digest: str) -> None:
        """Attach a signature to a manifest, as cosign 3 does."""
        content = bundle(envelope({}, digest, RELEASE, PREDICATE))
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": BUNDLE,
            "config": images.descriptor(EMPTY, EMPTY_TYPE),
            "layers": [images.descriptor(content, BUNDLE)],
            "subject": images.descriptor(b"", "application/vnd.oci.image.manifest.v1+json") | {"digest": digest},
        }
        self.push([EMPTY, content], json.dumps(manifest).encode())

    def push(self, blobs: list[bytes], manifest: bytes, reference: str = "") -> None:
        """Push a manifest with its blobs."""
        for blob in blobs:
            response, body = self.server.request("POST", f"/v2/prod/app/blobs/uploads/?digest={digest_of(blob)}", blob)
            assert response.status == 201, body
        sent = {"Content-Type": json.loads(manifest)["mediaType"]}
        path = f"/v2/prod/app/manifests/{reference or digest_of(manifest)}"
        response, body = self.server.request("PUT", path, manifest, sent)
        assert response.status == 201, body


@pytest.fixture
def gated(layout: Layout, tmp_path: Path) -> Iterator[GatedRegistry]:
    (tmp_path / "policies.toml").write_text(POLICY.format(pem=pem_of(RELEASE)))
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_POLICIES": str(tmp_path / "policies.toml")}
    with serving(environment, tmp_path / "server.log") as server:
        registry = GatedRegistry(server, layout)
        registry.push([*layout.blobs.values()], layout.manifest, "v1")
        yield registry


@pytest.mark.parametrize("name", [name for name in CLIENTS if name != "helm"])
def test_a_client_prints_why_it_is_refused_and_pulls_what_is_signed(
    name: str, request: pytest.FixtureRequest, gated: GatedRegistry, commands: ProgramRunner, tmp_path: Path
) -> None:
    client = Node(request, commands, tmp_path, gated.server.host).pullers(name)[name]

    by_digest = f"{gated.server.host}/prod/app@{gated.layout.digest}"

    assert REASON in client.fail(gated.image)
    assert REASON in client.fail(by_digest)
    gated.sign(gated.layout.digest)
    client.pull(gated.image)
    client.pull(by_digest)


def test_helm_prints_why_a_chart_is_refused(
    gated: GatedRegistry, commands: ProgramRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helm = find_program("helm", "go install helm.sh/helm/v3/cmd/helm@latest")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Chart.yaml").write_text("apiVersion: v2\nname: app\nversion: 1.0.0\n")
    commands.run(helm, "package", "app")
    # Helm reads back what it pushes: only an exempt caller could push with it to where it is gated.
    commands.run(helm, "push", "--plain-http", "app-1.0.0.tgz", f"oci://{gated.server.host}/free")
    names = [f"{gated.server.host}/{each}/app:1.0.0" for each in ("free", "prod")]
    commands.run(find_program("crane", "go install"), "copy", *names)
    words = [helm, "pull", "--plain-http", f"oci://{gated.server.host}/prod/app", "--version", "1.0.0"]

    assert REASON in commands.fail(*words)
    response, content = gated.server.request("HEAD", "/v2/prod/app/manifests/1.0.0")
    assert (response.status, content) == (200, b"")
    gated.sign(response.headers["Docker-Content-Digest"])
    commands.run(*words)
