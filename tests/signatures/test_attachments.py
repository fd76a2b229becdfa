"""Which manifests are signatures or attestations by their content, and so run nowhere."""

import base64
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest

from lading.signatures.attachments import (
    ENVELOPE,
    MAX_CONTAINERS,
    MAX_LAYER,
    MAX_STATEMENT,
    STATEMENT,
    AttachmentParts,
    attachment_parts,
    is_attachment,
)
from lading.signatures.signature import SIMPLE_SIGNING, Candidate
from lading.signatures.verify import verify
from lading_storage.digests import digest_of
from tests.signatures.golden_inputs import ALL, COSIGN, DIGEST, NOW

SIGNATURE: Final = (COSIGN / "legacy.sig.layer.json").read_bytes()
ATTESTATION: Final = (COSIGN / "legacy.att.layer.json").read_bytes()
CONFIG: Final = "application/vnd.oci.image.config.v1+json"


def archive() -> bytes:
    """A layer with one file."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("bin/sh"))
    return written.getvalue()


ARCHIVE: Final = archive()


def archive_that_is_json(path: str, statement: bytes = SIGNATURE) -> bytes:
    """The payload of a signature, or another object, after a name that is the header of an archive."""
    content = f'#!/bin/sh ":"", {statement.decode().strip()[1:]}'
    content += " " * (-len(content) % 512)
    name = '{"/..'.ljust(100 - len(path), "/") + path
    before = f"{name}0000755 0000000 0000000 {len(content):011o} 00000000000 "
    after = "0".ljust(512 - len(before) - 8)
    total = sum(f"{before}{'':8}{after}".encode())
    return f"{before}{total:06o}  {after}{content}".encode()


def manifest(
    *contents: bytes, media_type: str = SIMPLE_SIGNING, config: str = CONFIG, content: bytes = b"{}", **fields: Any
) -> bytes:
    layers = [{"mediaType": media_type, "digest": digest_of(each), "size": len(each)} for each in contents]
    described = {"mediaType": config, "digest": digest_of(content), "size": len(content)}
    return json.dumps({"schemaVersion": 2, "config": described, "layers": layers, **fields}).encode()


def is_one(content: bytes, blobs: Sequence[bytes], config: bytes = b"{}") -> bool:
    """Ask as the registry does: first the manifest, then its config and layers."""
    by_digest = {digest_of(each): each for each in blobs}
    parts = attachment_parts(content)
    return parts is not None and is_attachment(parts, config, [by_digest[each.digest] for each in parts.layers])


def config_of(*contents: bytes, **fields: Any) -> bytes:
    """The config that cosign and BuildKit write: its layers are those of the manifest."""
    rootfs = {"type": "layers", "diff_ids": [digest_of(each) for each in contents]}
    return json.dumps({"architecture": "", "os": "", "rootfs": rootfs, "config": {}, **fields}).encode()


def test_what_cosign_puts_under_tags_is_an_attachment() -> None:
    for kind, blob in (("sig", SIGNATURE), ("att", ATTESTATION)):
        fields = json.loads((COSIGN / f"legacy.{kind}.manifest.json").read_bytes())
        config = config_of(*[blob] * len(fields["layers"]))
        fields["config"] |= {"digest": digest_of(config), "size": len(config)}
        assert is_one(json.dumps(fields).encode(), [blob], config)
    assert is_one(manifest(SIGNATURE), [SIGNATURE])
    assert is_one(manifest(ATTESTATION, ATTESTATION, media_type=ENVELOPE), [ATTESTATION])


def test_its_layers_are_the_candidates_of_the_image() -> None:
    parts = attachment_parts((COSIGN / "legacy.sig.manifest.json").read_bytes())
    assert parts is not None

    verified = [
        verify(Candidate(media_type=each.media_type, content=SIGNATURE, annotations=each.annotations), ALL, DIGEST, NOW)
        for each in parts.layers
    ]
    assert len({each.signatures[0].signer for each in verified}) == 6


CONFIGS: Final[dict[str, bytes]] = {
    "other layers": config_of(b"a program"),
    "more layers": config_of(SIGNATURE, b"a program"),
    "no layer": config_of(),
    "layers in another case": config_of(SIGNATURE, RootFS={"diff_ids": [digest_of(b"a program")]}),
    "layers by a long s": config_of(SIGNATURE, **{"rootf\u017f": {"diff_ids": [digest_of(b"a program")]}}),
    "ids in another case": config_of(rootfs={"diff_ids": [digest_of(SIGNATURE)], "Diff_IDs": [digest_of(b"")]}),
    "ids that are a text": config_of(rootfs={"diff_ids": digest_of(SIGNATURE)}),
    "a text": config_of(rootfs="x"),
    "no JSON": b"x",
    "layers twice": config_of(SIGNATURE)[:-1] + b', "rootfs": {}}',
    "a command": config_of(SIGNATURE, config={"Entrypoint": ["/host/bin/sh"]}),
    "a command in another case": config_of(SIGNATURE, Config={"Entrypoint": ["/host/bin/sh"]}),
    "a command without layers": b'{"config": {"Cmd": ["sh"]}}',
    "an environment": config_of(SIGNATURE, config={"Env": ["LD_PRELOAD=/host/x.so"]}),
    "large": config_of(SIGNATURE, history=[{"comment": "x" * 64 * 1024}]),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_config_of_other_layers_makes_it_an_image(config: bytes) -> None:
    own = config_of(SIGNATURE)
    assert is_one(manifest(SIGNATURE, content=own), [SIGNATURE], own)

    assert not is_one(manifest(SIGNATURE, content=config), [SIGNATURE], config)


PROVENANCE: Final = json.dumps(
    {"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://slsa.dev/provenance/v0.2", "predicate": {}}
).encode()


def test_what_buildkit_puts_into_an_index_is_an_attachment() -> None:
    sbom = PROVENANCE[:-1] + b', "packages": [' + b"{}," * 10_000 + b"{}]" + b" " * MAX_LAYER + b"}"
    config = config_of(PROVENANCE, sbom)

    content = manifest(PROVENANCE, sbom, media_type=STATEMENT, content=config)

    assert is_one(content, [PROVENANCE, sbom], config)
    assert not is_one(content, [PROVENANCE, sbom])


def test_an_archive_that_is_json_is_none() -> None:
    layer = archive_that_is_json("bin/sh")
    assert json.loads(layer)["critical"] == json.loads(SIGNATURE)["critical"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert [each.endswith("/bin/sh") for each in tar.getnames()] == [True]

    assert not is_one(manifest(layer), [layer])
    assert is_one(manifest(other := layer.replace(b"bin/sh", b"bin/hs1")), [other]), "its sum is another"


def envelope(**fields: Any) -> bytes:
    return json.dumps({**json.loads(ATTESTATION), **fields}).encode()


CONTENTS: dict[str, tuple[bytes, str]] = {
    "an archive": (ARCHIVE, SIMPLE_SIGNING),
    "an archive after JSON": (SIGNATURE + ARCHIVE, SIMPLE_SIGNING),
    "a program": (b"\x7fELF", SIMPLE_SIGNING),
    "an object": (b"{}", SIMPLE_SIGNING),
    "an attestation as a signature": (ATTESTATION, SIMPLE_SIGNING),
    "a signature as an attestation": (SIGNATURE, ENVELOPE),
    "an archive as an attestation": (ARCHIVE, ENVELOPE),
    "an envelope of something else": (envelope(payloadType="text/plain"), ENVELOPE),
    "an envelope of no payload": (envelope(payload="%"), ENVELOPE),
    "an envelope without signatures": (envelope(signatures=[]), ENVELOPE),
    "an envelope with eleven signatures": (envelope(signatures=[{}] * 11), ENVELOPE),
    "a program as a statement": (b"\x7fELF", STATEMENT),
    "a statement after an archive": (ARCHIVE + PROVENANCE, STATEMENT),
    "an archive as a statement": (ARCHIVE, STATEMENT),
    "an archive that is a statement": (archive_that_is_json("bin/sh", PROVENANCE), STATEMENT),
    "an object as a statement": (b"{}", STATEMENT),
    "an array as a statement": (b"[]", STATEMENT),
    "a deep statement": (PROVENANCE[:-1] + b', "x": ' + b"[" * 50_001 + b"]" * 50_001 + b"}", STATEMENT),
    "a statement of many objects": (PROVENANCE[:-1] + b', "x": [' + b"[]," * MAX_CONTAINERS + b"[]]}", STATEMENT),
    "a large statement": (PROVENANCE + b" " * MAX_STATEMENT, STATEMENT),
    "a layer of another type": (SIGNATURE, "application/vnd.oci.image.layer.v1.tar+gzip"),
    "an attestation as an archive": (ATTESTATION, "application/vnd.oci.image.layer.v1.tar"),
    "a type in capitals": (SIGNATURE, SIMPLE_SIGNING.upper()),
    "an empty layer": (b"", SIMPLE_SIGNING),
    "a large layer": (SIGNATURE + b" " * MAX_LAYER, SIMPLE_SIGNING),
}


@pytest.mark.parametrize(("content", "media_type"), CONTENTS.values(), ids=CONTENTS.keys())
def test_other_content_is_none(content: bytes, media_type: str) -> None:
    assert not is_one(manifest(content, media_type=media_type), [content])
    both = json.loads(manifest(SIGNATURE))
    both["layers"] += json.loads(manifest(content, media_type=media_type))["layers"]
    assert not is_one(json.dumps(both).encode(), [SIGNATURE, content]), "each layer counts"


def _layers(*layers: Mapping[str, Any] | str) -> bytes:
    return json.dumps({"config": {"mediaType": CONFIG}, "layers": layers}).encode()


LAYER: Final = {"mediaType": SIMPLE_SIGNING, "digest": digest_of(SIGNATURE), "size": len(SIGNATURE)}

MANIFESTS: dict[str, bytes] = {
    "no JSON": b"x",
    "an array": b"[]",
    "no layers": manifest(),
    "51 layers": manifest(*[SIGNATURE] * 51),
    "another config": manifest(SIGNATURE, config="application/vnd.docker.container.image.v1+json"),
    "no config": json.dumps({"layers": [LAYER]}).encode(),
    "an index": manifest(SIGNATURE, manifests=[]),
    "Docker's type": manifest(SIGNATURE, mediaType="application/vnd.docker.distribution.manifest.v2+json"),
    "layers twice": manifest(SIGNATURE)[:-1] + b', "layers": []}',
    "a layer that is a text": _layers("x"),
    "a layer without a digest": _layers({**LAYER, "digest": None}),
    "a layer without a size": _layers({**LAYER, "size": "240"}),
    "a layer of a negative size": _layers({**LAYER, "size": -1}),
    "annotations that are no texts": _layers({**LAYER, "annotations": {"x": 1}}),
    "annotations that are an array": _layers({**LAYER, "annotations": ["x"]}),
}


@pytest.mark.parametrize("content", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_other_manifests_are_none(content: bytes) -> None:
    assert attachment_parts(content) is None
    assert not is_one(content, [SIGNATURE])


def test_neither_subject_nor_type_nor_annotation_makes_an_attachment() -> None:
    fields: dict[str, Any] = {
        "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": DIGEST, "size": 1},
        "artifactType": "application/vnd.dev.cosign.artifact.sig.v1+json",
        "annotations": {"dev.cosignproject.cosign/signature": base64.b64encode(b"x").decode()},
    }
    assert not is_one(manifest(ARCHIVE, **fields), [ARCHIVE])
    assert not is_one(manifest(ARCHIVE, media_type="application/vnd.oci.image.layer.v1.tar", **fields), [ARCHIVE])


def test_the_contents_are_those_of_the_layers() -> None:
    parts = attachment_parts(manifest(SIGNATURE, SIGNATURE))
    assert parts is not None

    assert is_attachment(parts, b"{}", [SIGNATURE, SIGNATURE])
    for wrong in ([], [SIGNATURE], [SIGNATURE] * 3, [SIGNATURE, SIGNATURE + b" "]):
        assert not is_attachment(parts, b"{}", wrong)
    assert not is_attachment(parts, b"{} ", [SIGNATURE, SIGNATURE])
    assert not is_attachment(AttachmentParts(parts.config, ()), b"{}", ())
