"""Pushing, pulling and deleting manifests of every kind that clients push."""

import json
from typing import Any

import pytest

from lading.registry.content.manifest_format import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    NONDISTRIBUTABLE,
    OCI_ARTIFACT,
    OCI_INDEX,
    OCI_MANIFEST,
)
from lading.registry.content.manifests import MAX_MANIFEST
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.app_client import Client, CountingBody, content_type_header

LAYER = b"a layer"
CHUNK_SIZE = bytes(256 * 1024)


def of_type(media_type: str, **fields: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": media_type} | fields).encode()


def altered(manifest: bytes, **fields: Any) -> bytes:
    return json.dumps(json.loads(manifest) | fields).encode()


def padded(size: int) -> bytes:
    """A manifest of so many bytes."""
    short = images.manifest([LAYER], annotations={"x": ""})
    return images.manifest([LAYER], annotations={"x": "x" * (size - len(short))})


@pytest.fixture
def filled(client: Client) -> Client:
    client.push_image("app", "base", LAYER)
    return client


def pulled(client: Client, reference: str, manifest: bytes, algorithm: str = "sha256") -> None:
    """Check that a reference names a manifest, byte for byte."""
    digest = digest_of(manifest, algorithm)
    for method in ("GET", "HEAD"):
        answer = client.request(method, f"/v2/app/manifests/{reference}")
        assert (answer.status, answer.body) == (200, manifest if method == "GET" else b"")
        assert answer.headers["Docker-Content-Digest"] == digest
        assert answer.headers["ETag"] == f'"{digest}"'
        assert answer.headers["Content-Length"] == str(len(manifest))
        assert answer.headers["Content-Type"] == json.loads(manifest)["mediaType"]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_manifest_is_pushed_by_digest(filled: Client, algorithm: str) -> None:
    manifest = images.manifest([LAYER], annotations={"a": "ä", "b": "\U0001f433"})
    digest = digest_of(manifest, algorithm)

    answer = filled.request("PUT", f"/v2/app/manifests/{digest}", manifest, content_type_header(manifest))

    assert (answer.status, answer.body) == (201, b"")
    assert answer.headers["Location"] == f"/v2/app/manifests/{digest}"
    assert answer.headers["Docker-Content-Digest"] == digest
    assert not {"OCI-Subject", "OCI-Tag"} & set(answer.headers.keys())
    pulled(filled, digest, manifest, algorithm)
    assert filled.request("GET", "/v2/app/tags/list").json["tags"] == ["base"]


def test_a_tag_moves(filled: Client) -> None:
    for number in range(3):
        manifest = images.manifest([LAYER], annotations={"number": str(number)})
        for _ in range(2):
            filled.push_manifest("app", "v1", manifest)
        pulled(filled, "v1", manifest)
        pulled(filled, digest_of(manifest), manifest)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_many_tags_at_once(filled: Client, algorithm: str) -> None:
    manifest = images.manifest([LAYER])
    tags = [f"t{number}" for number in range(100)]
    query = "&".join(f"tag={tag}" for tag in tags)

    path = f"/v2/app/manifests/{digest_of(manifest, algorithm)}?{query}"
    answer = filled.request("PUT", path, manifest, content_type_header(manifest))

    assert answer.status == 201
    assert answer.headers.getlist("OCI-Tag") == tags
    for tag in (tags[0], tags[-1]):
        pulled(filled, tag, manifest, algorithm)
    twice = filled.request("PUT", "/v2/app/manifests/a?tag=a&tag=b&tag=b", manifest, content_type_header(manifest))
    assert twice.status == 201
    assert set(twice.headers.getlist("OCI-Tag")) == {"a", "b"}


@pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', '"x", "{}"', "*"])
def test_what_the_client_has_is_not_sent_again(filled: Client, form: str) -> None:
    digest = digest_of(images.manifest([LAYER]))
    for reference in ("base", digest):
        for method in ("GET", "HEAD"):
            headers = {"If-None-Match": form.format(digest)}
            answer = filled.request(method, f"/v2/app/manifests/{reference}", headers=headers)
            assert (answer.status, answer.body) == (304, b"")
            assert answer.headers["ETag"] == f'"{digest}"'
    assert filled.request("GET", "/v2/app/manifests/base", headers={"If-None-Match": '"x"'}).status == 200


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain", OCI_INDEX, DOCKER_MANIFEST])
def test_every_client_takes_every_type(filled: Client, accept: str) -> None:
    assert filled.request("GET", "/v2/app/manifests/base", headers={"Accept": accept}).status == 200


def test_the_body_alone_may_say_the_type_and_so_may_the_header(filled: Client) -> None:
    manifest = images.manifest([LAYER])
    silent = json.dumps({key: value for key, value in json.loads(manifest).items() if key != "mediaType"}).encode()

    assert filled.request("PUT", "/v2/app/manifests/a", manifest).status == 201
    assert filled.request("PUT", "/v2/app/manifests/b", silent, content_type_header(manifest)).status == 201
    parameter = {"Content-Type": content_type_header(manifest)["Content-Type"] + "; charset=utf-8"}
    assert filled.request("PUT", "/v2/app/manifests/c", manifest, parameter).status == 201
    for tag in "abc":
        assert (
            filled.request("GET", f"/v2/app/manifests/{tag}").headers["Content-Type"]
            == content_type_header(manifest)["Content-Type"]
        )


def test_docker_images_and_lists(filled: Client) -> None:
    config = images.descriptor(images.EMPTY_CONFIG, "application/vnd.docker.container.image.v1+json")
    layer = images.descriptor(LAYER, "application/vnd.docker.image.rootfs.diff.tar.gzip")
    image = of_type(DOCKER_MANIFEST, config=config, layers=[layer])
    platform = {"platform": {"architecture": "arm64", "os": "linux"}}
    many = of_type(DOCKER_LIST, manifests=[images.descriptor(image, DOCKER_MANIFEST) | platform])

    assert (
        filled.request("PUT", "/v2/app/manifests/list", many, content_type_header(many)).code == "MANIFEST_BLOB_UNKNOWN"
    )
    filled.push_manifest("app", "image", image)
    filled.push_manifest("app", "list", many)

    pulled(filled, "image", image)
    pulled(filled, "list", many)


@pytest.mark.parametrize("media_type", sorted(NONDISTRIBUTABLE))
def test_nondistributable_layers_may_be_absent(filled: Client, media_type: str) -> None:
    foreign = {"mediaType": media_type, "digest": digest_of(b"never pushed"), "size": 12, "urls": ["http://192.0.2.1/"]}
    config = images.descriptor(images.EMPTY_CONFIG, images.CONFIG_TYPE)
    manifest = of_type(DOCKER_MANIFEST, config=config, layers=[foreign, images.descriptor(LAYER)])

    filled.push_manifest("app", "windows", manifest)

    pulled(filled, "windows", manifest)
    assert filled.request("GET", f"/v2/app/blobs/{foreign['digest']}").status == 404


def test_a_build_cache_is_an_index_of_layers(filled: Client) -> None:
    config = images.descriptor(images.EMPTY_CONFIG, "application/vnd.buildkit.cacheconfig.v0")
    cache = of_type(OCI_INDEX, manifests=[images.descriptor(LAYER), config])

    filled.push_manifest("app", "cache", cache)

    pulled(filled, "cache", cache)
    assert filled.request("DELETE", f"/v2/app/blobs/{digest_of(LAYER)}").status == 405


def test_artifact_manifests(filled: Client) -> None:
    fields = {"artifactType": "application/vnd.example.sbom", "blobs": [images.descriptor(LAYER)]}
    artifact = json.dumps({"mediaType": OCI_ARTIFACT} | fields).encode()

    filled.push_manifest("app", "artifact", artifact)

    pulled(filled, "artifact", artifact)


def test_fields_that_are_the_clients_own_are_kept(filled: Client) -> None:
    own: dict[str, Any] = {"x": [None, 1.5, {"deep": [[[]]]}], "signatures": "ä", "config2": {}}
    layer = images.descriptor(LAYER) | {"annotations": {"a": "b"}, "urls": ["file:///etc/passwd"], "data": "YQ=="}
    config = images.descriptor(images.EMPTY_CONFIG, images.CONFIG_TYPE)
    manifest = json.dumps(
        json.loads(images.manifest([])) | {"config": config, "layers": [layer]} | own, indent=3
    ).encode()

    filled.push_manifest("app", "own", manifest)

    pulled(filled, "own", manifest)


def test_an_index_of_indexes_keeps_its_children(filled: Client) -> None:
    image = images.manifest([LAYER])
    inner = images.index([image])
    outer = images.index([inner, image])
    assert filled.request("PUT", "/v2/app/manifests/outer", outer, content_type_header(outer)).status == 400
    filled.push_manifest("app", digest_of(inner), inner)
    filled.push_manifest("app", "outer", outer)

    for child in (image, inner):
        refused = filled.request("DELETE", f"/v2/app/manifests/{digest_of(child)}")
        assert (refused.status, refused.code) == (405, "UNSUPPORTED")
    for each in (outer, inner, image):
        assert filled.request("DELETE", f"/v2/app/manifests/{digest_of(each)}").status == 202


def test_a_manifest_goes_with_its_tags(filled: Client) -> None:
    manifest = images.manifest([LAYER], annotations={"a": "b"})
    digest = filled.push_manifest("app", "v1", manifest)
    filled.push_manifest("app", "v2", manifest)

    assert filled.request("DELETE", f"/v2/app/manifests/{digest}").status == 202

    for reference in ("v1", "v2", digest):
        for method in ("GET", "HEAD", "DELETE"):
            assert filled.request(method, f"/v2/app/manifests/{reference}").status == 404
    assert filled.request("GET", "/v2/app/tags/list").json["tags"] == ["base"]
    filled.push_manifest("app", "v1", manifest)
    pulled(filled, "v1", manifest)


def test_a_tag_goes_alone(filled: Client) -> None:
    manifest = images.manifest([LAYER])

    assert filled.request("DELETE", "/v2/app/manifests/base").status == 202

    assert filled.request("GET", "/v2/app/manifests/base").status == 404
    assert filled.request("DELETE", "/v2/app/manifests/base").status == 404
    pulled(filled, digest_of(manifest), manifest)


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1, 512 * 1024, 512 * 1024 + 1, 3_900_000, MAX_MANIFEST])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_manifest_may_be_large(filled: Client, size: int, algorithm: str) -> None:
    manifest = padded(size)
    digest = digest_of(manifest, algorithm)
    assert len(manifest) == size

    for _ in range(2):
        answer = filled.request("PUT", f"/v2/app/manifests/{digest}?tag=large", manifest, content_type_header(manifest))
        assert answer.status == 201

    pulled(filled, "large", manifest, algorithm)
    pulled(filled, digest, manifest, algorithm)
    assert filled.request("DELETE", f"/v2/app/manifests/{digest}").status == 202
    assert filled.request("GET", "/v2/app/manifests/large").status == 404


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_an_image_may_have_very_many_layers(filled: Client, algorithm: str) -> None:
    digest = filled.push_blob("app", LAYER, algorithm)
    layers = [{"mediaType": images.LAYER_TYPE, "digest": digest, "size": len(LAYER)}] * 4_999
    manifest = images.manifest([]).replace(b'"layers": []', b'"layers": ' + json.dumps(layers).encode())

    filled.push_manifest("app", "many", manifest)

    pulled(filled, "many", manifest)


@pytest.mark.parametrize("reference", ["large", digest_of(b"large"), digest_of(b"large", "sha512")])
def test_too_large_a_manifest_is_refused_unread(filled: Client, reference: str) -> None:
    size = 256 * len(CHUNK_SIZE)
    asked = {"PUT": f"/v2/app/manifests/{reference}"}
    waiting, sending, chunked = (CountingBody(CHUNK_SIZE for _ in range(256)) for _ in range(3))

    answers = [
        # Who waits to be asked for the body is not asked; of what is sent regardless a little is thrown away.
        filled.request("PUT", asked["PUT"], waiting, {"Expect": "100-continue"}, length=size),
        filled.request("PUT", asked["PUT"], sending, length=size),
        filled.request("PUT", asked["PUT"], chunked, chunked=True),
    ]

    for answer in answers:
        assert (answer.status, answer.code) == (413, "SIZE_INVALID")
    assert waiting.count == 0
    assert sending.count <= 10 * 1024 * 1024
    assert chunked.count <= 14 * 1024 * 1024


@pytest.mark.parametrize("said", ["", None])
def test_a_media_type_of_nothing_is_none(filled: Client, said: str | None) -> None:
    """Go's clients write "" where they mean nothing, and read null as that."""
    manifest = altered(images.manifest([]), mediaType=said, layers=[images.descriptor(LAYER) | {"mediaType": said}])

    answer = filled.request("PUT", "/v2/app/manifests/v1", manifest, {"Content-Type": OCI_MANIFEST})

    assert answer.status == 201
    pull = filled.request("GET", "/v2/app/manifests/v1")
    assert (pull.body, pull.headers["Content-Type"]) == (manifest, OCI_MANIFEST)


@pytest.mark.parametrize("sent", [OCI_INDEX, OCI_INDEX.upper(), OCI_INDEX.title(), ""])
@pytest.mark.parametrize("said", [OCI_INDEX, OCI_INDEX.upper()])
def test_media_types_have_no_case(filled: Client, sent: str, said: str) -> None:
    image = images.manifest([LAYER])
    filled.push_manifest("app", digest_of(image), image)
    child = images.descriptor(image, OCI_MANIFEST.upper())
    index = altered(images.index([]), mediaType=said, manifests=[child])
    headers = {"Content-Type": sent} if sent else {}

    assert filled.request("PUT", "/v2/app/manifests/v1", index, headers).status == 201

    pull = filled.request("GET", "/v2/app/manifests/v1")
    assert (pull.body, pull.headers["Content-Type"]) == (index, OCI_INDEX)
    # What is written in capitals is a child all the same.
    assert filled.request("DELETE", f"/v2/app/manifests/{digest_of(image)}").status == 405


def test_letters_beyond_ascii_are_no_letters_of_a_media_type(filled: Client) -> None:
    index = altered(images.index([]), mediaType=DOCKER_LIST.replace("docker", "doc\u212aer"))

    assert (
        filled.request("PUT", "/v2/app/manifests/v1", index, {"Content-Type": DOCKER_LIST}).code == "MANIFEST_INVALID"
    )


def test_nondistributable_media_types_are_recognized_in_any_case(filled: Client) -> None:
    media_type = min(NONDISTRIBUTABLE).upper()
    foreign = {"mediaType": media_type, "digest": digest_of(b"never pushed"), "size": 12}

    filled.push_manifest("app", "windows", altered(images.manifest([]), layers=[foreign]))


def test_annotations_have_any_names(filled: Client) -> None:
    annotations = dict.fromkeys(("Platform", "Size", "Data", "layer\u017f", "digest", "Digest", "a", "A", ""), "1")
    layer = images.descriptor(LAYER) | {"annotations": annotations, "x-extension": {"Layers": [{"Digest": 1}]}}
    extension: dict[str, list[str]] = {"Layers": [], "layer\u017f": []}
    manifest = altered(images.manifest([]), layers=[layer], annotations=annotations, extension=extension)

    filled.push_manifest("app", "v1", manifest)

    pulled(filled, "v1", manifest)
