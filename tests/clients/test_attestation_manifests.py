"""Attestations of BuildKit, which are let through by their content, are run by no runtime."""

import json
from collections.abc import Callable
from typing import Final

import pytest

from lading.registry.content.manifest_format import OCI_MANIFEST
from lading.signatures import attachments
from lading_storage.digests import digest_of
from tests.clients.program_images import CONFIG, RUNTIMES, Images, Program
from tests.support.images import descriptor
from tests.support.runtimes import Runtime

STATEMENT: Final = json.dumps({"_type": "https://in-toto.io/Statement/v0.1", "predicate": {}}).encode()


def attestation(config: bytes) -> bytes:
    """A manifest of an attestation as BuildKit makes it, with some config."""
    parts = {"config": descriptor(config, CONFIG), "layers": [descriptor(STATEMENT, attachments.STATEMENT)]}
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, **parts}).encode()


def is_attachment(manifest: bytes, config: bytes) -> bool:
    parts = attachments.attachment_parts(manifest)
    return parts is not None and attachments.is_attachment(parts, config, [STATEMENT])


@pytest.mark.parametrize("name", RUNTIMES)
def test_no_runtime_runs_an_attestation(
    name: str, start: Callable[[str], Runtime], program: Program, pushed: Images
) -> None:
    """Its layer is no archive, and its config names nothing else."""
    runtime = start(name)
    rootfs = {"type": "layers", "diff_ids": [digest_of(STATEMENT)]}
    own = json.dumps(json.loads(program.config) | {"rootfs": rootfs, "config": {}}).encode()
    pushed.push_blobs(STATEMENT, own)
    assert runtime(pushed.push(program.manifest(CONFIG))) == ""

    for config in (own, b"{}"):
        assert is_attachment(attestation(config), config)
        assert runtime(pushed.push(attestation(config))) != ""


@pytest.mark.parametrize("name", [name for name in RUNTIMES if name != "podman"])
def test_an_attestation_with_the_config_of_an_image_is_an_image(
    name: str, start: Callable[[str], Runtime], program: Program, pushed: Images
) -> None:
    """A runtime that has the layers of the image requests none, and runs them."""
    runtime = start(name)
    pushed.push_blobs(STATEMENT)
    assert runtime(pushed.push(program.manifest(CONFIG))) == ""

    assert runtime(pushed.push(attestation(program.config))) == ""
    assert not is_attachment(attestation(program.config), program.config)
