"""Referrers: what refers to a manifest, be it there or not."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from lading.registry.content.manifest_format import OCI_ARTIFACT, OCI_INDEX, OCI_MANIFEST
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.protocols import Replace
from lading_storage.records.core import Key, Manifest
from tests.support import images
from tests.support.app_client import Client, content_type_header

SBOM = "application/vnd.example.sbom+json"
SUBJECT = images.manifest([])


def listed(client: Client, digest: str, query: str = "") -> list[dict[str, Any]]:
    answer = client.request("GET", f"/v2/app/referrers/{digest}{query}")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == OCI_INDEX
    assert (answer.json["schemaVersion"], answer.json["mediaType"]) == (2, OCI_INDEX)
    found: list[dict[str, Any]] = answer.json["manifests"]
    return found


def push(client: Client, manifest: bytes) -> str:
    """Push a manifest by digest; answers its digest."""
    digest = digest_of(manifest)
    answer = client.request("PUT", f"/v2/app/manifests/{digest}", manifest, content_type_header(manifest))
    assert answer.status == 201
    assert answer.headers["OCI-Subject"] == json.loads(manifest)["subject"]["digest"]
    return digest


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("there", [True, False])
def test_referrers_are_listed(client: Client, there: bool, algorithm: str) -> None:
    client.push_image("app", "v1")
    subject = images.descriptor(SUBJECT if there else b"absent", OCI_MANIFEST, algorithm)
    if there:
        client.push_manifest("app", subject["digest"], SUBJECT)
    assert listed(client, subject["digest"]) == []

    plain = images.manifest([], subject=subject)
    sbom = images.manifest([], subject=subject, artifactType=SBOM, annotations={"a": "ä"})
    index = images.index([], subject=subject, artifactType=SBOM)
    artifact = json.dumps({"mediaType": OCI_ARTIFACT, "artifactType": SBOM, "subject": subject}).encode()
    digests = [push(client, each) for each in (plain, sbom, index, artifact)]

    found = {each["digest"]: each for each in listed(client, subject["digest"])}
    assert found.keys() == set(digests)
    assert found[digests[0]] == images.descriptor(plain, OCI_MANIFEST) | {"artifactType": images.CONFIG_TYPE}
    described = {"artifactType": SBOM, "annotations": {"a": "ä"}}
    assert found[digests[1]] == images.descriptor(sbom, OCI_MANIFEST) | described
    assert found[digests[2]] == images.descriptor(index, OCI_INDEX) | {"artifactType": SBOM}
    assert found[digests[3]] == images.descriptor(artifact, OCI_ARTIFACT) | {"artifactType": SBOM}


def test_referrers_are_filtered(client: Client) -> None:
    client.push_image("app", "v1")
    subject = images.descriptor(SUBJECT, OCI_MANIFEST)
    push(client, images.manifest([], subject=subject))
    sbom = push(client, images.manifest([], subject=subject, artifactType=SBOM))
    path = f"/v2/app/referrers/{subject['digest']}"

    answer = client.request("GET", f"{path}?artifactType={quote(SBOM)}")

    assert [each["digest"] for each in answer.json["manifests"]] == [sbom]
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"
    assert "OCI-Filters-Applied" not in client.request("GET", path).headers
    for other in ("x", "%00", "%FF", "a" * 9000, "*"):
        assert listed(client, subject["digest"], f"?artifactType={other}") == []


def test_a_referrer_comes_and_goes(client: Client) -> None:
    client.push_image("app", "v1")
    client.push_image("other", "v1")
    subject = images.descriptor(SUBJECT, OCI_MANIFEST)
    referrer = images.manifest([], subject=subject)
    digest = push(client, referrer)

    assert client.request("GET", f"/v2/other/referrers/{subject['digest']}").json["manifests"] == []
    assert [each["digest"] for each in listed(client, subject["digest"])] == [digest]
    assert client.request("DELETE", f"/v2/app/manifests/{digest}").status == 202
    assert listed(client, subject["digest"]) == []


def test_a_subject_takes_its_referrers_with_it(client: Client) -> None:
    client.push_image("app", "v1")
    subject = images.descriptor(SUBJECT, OCI_MANIFEST)
    client.push_manifest("app", subject["digest"], SUBJECT)
    digest = push(client, images.manifest([], subject=subject))

    assert client.request("DELETE", f"/v2/app/manifests/{subject['digest']}").status == 202

    assert listed(client, subject["digest"]) == []
    assert client.request("GET", f"/v2/app/manifests/{digest}").status == 404


def test_a_repository_that_is_not_there_has_no_referrers(client: Client) -> None:
    assert listed(client, digest_of(b"absent")) == []


def test_large_referrers_come_in_pages(client: Client) -> None:
    client.push_image("app", "v1")
    subject = images.descriptor(SUBJECT, OCI_MANIFEST)
    notes = [{"number": str(number), "x": "x" * 1_500_000} for number in range(5)]
    for note in notes:
        push(client, images.manifest([], subject=subject, annotations=note))

    pages, path = [], f"/v2/app/referrers/{subject['digest']}?artifactType={quote(images.CONFIG_TYPE)}"
    while path:
        answer = client.request("GET", path)
        assert answer.headers["OCI-Filters-Applied"] == "artifactType"
        pages.append([each["annotations"] for each in answer.json["manifests"]])
        path = answer.headers.get("Link", "").removesuffix('>; rel="next"').removeprefix("<")

    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted((note for page in pages for note in page), key=lambda note: note["number"]) == notes


def test_what_an_index_calls_its_config_is_not_its_type(client: Client) -> None:
    """distribution-spec: if the artifactType is missing in an index, it MUST be omitted."""
    client.push_image("app", "v1")
    subject = images.descriptor(SUBJECT, OCI_MANIFEST)
    config = images.descriptor(images.EMPTY_CONFIG, SBOM)
    index = images.index([], subject=subject, config=config)
    push(client, index)

    assert listed(client, subject["digest"]) == [images.descriptor(index, OCI_INDEX)]
    assert listed(client, subject["digest"], f"?artifactType={quote(SBOM)}") == []


@pytest.mark.parametrize("asked", [SBOM, SBOM.upper(), SBOM.title()])
@pytest.mark.parametrize("pushed", [SBOM, SBOM.upper()])
def test_types_have_no_case_and_are_listed_as_they_were_pushed(client: Client, pushed: str, asked: str) -> None:
    client.push_image("app", "v1")
    subject = images.descriptor(SUBJECT, OCI_MANIFEST)
    push(client, images.manifest([], subject=subject, artifactType=pushed))
    push(client, images.manifest([], subject=subject))

    found = listed(client, subject["digest"], f"?artifactType={quote(asked)}")

    assert [each["artifactType"] for each in found] == [pushed]


def test_types_that_an_earlier_release_kept_in_capitals_are_found(client: Client, registry: Registry) -> None:
    client.push_image("app", "v1")
    subject = images.descriptor(SUBJECT, OCI_MANIFEST)
    digests = [
        push(client, images.manifest([], subject=subject, artifactType=SBOM.upper(), annotations={"n": str(number)}))
        for number in range(3)
    ]
    for digest in digests[::2]:
        key = Key(Manifest, digest, "app")
        record = registry.metadata.read([key])[key]
        assert record is not None
        registry.metadata.commit([Replace(replace(record, artifact_type=SBOM.upper()))])

    found = listed(client, subject["digest"], f"?artifactType={quote(SBOM.upper())}")

    assert [each["digest"] for each in found] == sorted(digests)


@pytest.mark.parametrize(
    "digest",
    [
        f"md5:{'0' * 32}",
        f"blake3:{'0' * 64}",
        f"sha384:{'0' * 96}",
        "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
        "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564=",
        f"a:{'x' * 510}",
    ],
)
def test_a_subject_may_have_a_digest_of_any_algorithm(client: Client, digest: str) -> None:
    """image-spec: unrecognised algorithms SHOULD pass validation; distribution-spec: a subject need not be there."""
    client.push_image("app", "v1")
    subject = {"mediaType": OCI_MANIFEST, "digest": digest, "size": 5}
    pushed = push(client, images.manifest([], subject=subject))

    assert [each["digest"] for each in listed(client, quote(digest))] == [pushed]
    assert client.request("DELETE", f"/v2/app/manifests/{pushed}").status == 202
    assert listed(client, quote(digest)) == []
