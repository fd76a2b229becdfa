"""What policies do not gate is what no runtime runs: docker, containerd, Kubernetes with containerd, and podman.

Each image has the same program in its layer. What differs is what its manifest says of it.
"""

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final
from wsgiref.simple_server import make_server

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lading.registry.content.manifest_format import (
    DOCKER_MANIFEST,
    IMAGES,
    INDEXES,
    OCI_ARTIFACT,
    OCI_INDEX,
    OCI_MANIFEST,
)
from lading.registry.policies.gated_types import EMPTY_TYPE, is_gated
from lading_storage.digests import digest_of
from tests.clients.program_images import CONFIG, DOCKER_LAYER, LAYERS, NIGHTLY, RUNTIMES, Images, Program
from tests.support.images import descriptor
from tests.support.runtimes import (
    Runtime,
)

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

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


@pytest.mark.parametrize("name", RUNTIMES)
def test_no_runtime_runs_what_is_not_gated(
    name: str, start: Callable[[str], Runtime], program: Program, pushed: Images
) -> None:
    runtime = start(name)
    assert runtime(pushed.push(program.manifest(CONFIG, annotations={"a": "plain image"}))) == ""

    manifests = program.not_gated()
    assert [each for each, manifest in manifests.items() if is_gated(json.loads(manifest)["mediaType"], manifest)] == []
    assert [each for each, manifest in manifests.items() if not runtime(pushed.push(manifest))] == []
    below: dict[tuple[str, str], str] = {}
    for each, manifest in manifests.items():
        fields = json.loads(manifest)
        media_type, unnamed = fields.pop("mediaType"), json.dumps(fields).encode()
        assert not is_gated(media_type, unnamed)
        below |= {(each, named): pushed.push_below(unnamed, media_type, named) for named in IMAGES}
    assert [each for each, image in below.items() if not runtime(image)] == []


def test_an_artifact_manifest_that_is_an_image_below_an_index_is_gated(
    start: Callable[[str], Runtime], program: Program, pushed: Images
) -> None:
    """containerd believes the index, whatever the type is that the response has."""
    runtime = start("containerd")
    fields = json.loads(program.manifest(CONFIG))
    del fields["mediaType"]
    image = json.dumps(fields).encode()

    assert runtime(pushed.push_below(image, OCI_ARTIFACT, OCI_MANIFEST)) == ""
    assert is_gated(OCI_ARTIFACT, image)


def test_an_index_that_says_where_an_image_is_is_gated(
    start: Callable[[str], Runtime], program: Program, pushed: Images
) -> None:
    """containerd requests the manifest from there, and the layers here."""
    runtime = start("containerd")
    image = program.manifest(CONFIG)
    pushed.push(image)

    with elsewhere(image) as (url, requests):
        fields = {"manifests": [descriptor(image, OCI_MANIFEST) | {"urls": [url]}]}
        index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, **fields}).encode()
        assert runtime(pushed.push(index)) == ""
        assert requests
    assert is_gated(OCI_INDEX, index)


@contextlib.contextmanager
def elsewhere(manifest: bytes) -> Iterator[tuple[str, list[str]]]:
    """The URL of a manifest at another server, and the paths that it is asked for."""
    requests: list[str] = []

    def application(environment: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
        requests.append(environment["PATH_INFO"])
        start_response("200 OK", [("Content-Type", OCI_MANIFEST), ("Content-Length", str(len(manifest)))])
        return [manifest]

    with make_server("127.0.0.1", 0, application) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/manifest", requests
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.skipif(not NIGHTLY, reason="nightly only: LADING_NIGHTLY=1")
@pytest.mark.parametrize("stored", sorted(INDEXES))
def test_an_index_that_another_one_calls_an_image_is_gated(
    stored: str, start: Callable[[str], Runtime], program: Program, pushed: Images
) -> None:
    """containerd 2 reads its config, and requests no layers where a node has those that the config names."""
    runtime = start("kubernetes2")
    assert runtime(pushed.push(program.manifest(CONFIG))) == ""
    index = json.dumps({"schemaVersion": 2, "config": descriptor(program.config, CONFIG)}).encode()

    assert runtime(pushed.push_below(index, stored, OCI_MANIFEST)) == ""
    assert is_gated(stored, index)


def test_an_artifact_manifest_of_schema_1_is_gated(
    start: Callable[[str], Runtime], program: Program, pushed: Images
) -> None:
    """docker 20 reads a type that it does not know as schema 1, whose version is in the signature."""
    runtime = start("docker")
    image = schema_1(program)

    assert runtime(pushed.push(image, OCI_ARTIFACT)) == ""
    assert is_gated(OCI_ARTIFACT, image)


def schema_1(program: Program) -> bytes:
    """The program as a signed manifest of docker's schema 1, whose version the signature adds."""
    history = {"id": "a" * 64, "os": "linux", "architecture": "amd64", "config": json.loads(program.config)["config"]}
    layers = [{"blobSum": digest_of(program.layer)}]
    fields = {"name": "app", "tag": "v1", "fsLayers": layers, "history": [{"v1Compatibility": json.dumps(history)}]}
    begin, end = json.dumps(fields, indent=3)[:-2], ',\n   "schemaVersion": 1\n}'
    protected = _base64(json.dumps({"formatLength": len(begin), "formatTail": _base64(end.encode())}).encode())
    key = ec.generate_private_key(ec.SECP256R1())
    signed = f"{protected}.{_base64(f'{begin}{end}'.encode())}".encode()
    both = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    signature = {"header": {"alg": "ES256", "jwk": _jwk(key)}, "protected": protected, "signature": _base64(*both)}
    return f'{begin},\n   "signatures": {json.dumps([signature])}\n}}'.encode()


def _jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """A key as libtrust describes it."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()
    numbers = key.public_key().public_numbers()
    parts = {"kty": "EC", "crv": "P-256", "x": _base64(numbers.x), "y": _base64(numbers.y)}
    return {"kid": ":".join(name[each : each + 4] for each in range(0, len(name), 4)), **parts}


def _base64(*values: bytes | int) -> str:
    content = b"".join(each if isinstance(each, bytes) else each.to_bytes(32) for each in values)
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


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
