"""Reports of listings of what refers to an image."""

import json

import pytest

from lading_storage.digests import digest_of
from tests.support import images
from tests.support.app_client import Client, content_type_header

SBOM = "application/vnd.example.sbom"


def referrers(client: Client, subject: bytes, query: str = "") -> list[dict[str, object]]:
    answer = client.request("GET", f"/v2/app/referrers/{digest_of(subject)}{query}")
    assert answer.status == 200
    found: list[dict[str, object]] = answer.json["manifests"]
    return found


def test_18_a_referrer_with_tags_is_listed_once(client: Client) -> None:
    """A referrer that was pushed by digest and then tagged was listed twice."""
    subject = client.push_image("app", "v1")
    referrer = images.manifest([], subject=images.descriptor(subject, content_type_header(subject)["Content-Type"]))
    for reference in (digest_of(referrer), "sbom", "sbom-2", digest_of(referrer)):
        client.push_manifest("app", reference, referrer)
    assert [each["digest"] for each in referrers(client, subject)] == [digest_of(referrer)]


@pytest.mark.parametrize("said", ["artifactType", "config"])
def test_19_a_filter_goes_by_the_artifact_type_or_else_by_the_config(client: Client, said: str) -> None:
    """A filter found only manifests with `artifactType`, or said nothing of having been applied."""
    subject = client.push_image("app", "v1")
    described = json.loads(
        images.manifest([], subject=images.descriptor(subject, content_type_header(subject)["Content-Type"]))
    )
    if said == "config":
        described["config"]["mediaType"] = SBOM
    else:
        described["artifactType"] = SBOM
    wanted = json.dumps(described).encode()
    other = images.manifest([], subject=described["subject"], artifactType="application/vnd.example.other")
    for content in (wanted, other):
        client.push_manifest("app", digest_of(content), content)
    answer = client.request("GET", f"/v2/app/referrers/{digest_of(subject)}?artifactType={SBOM}")
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"
    assert [(each["digest"], each["artifactType"]) for each in answer.json["manifests"]] == [(digest_of(wanted), SBOM)]
    assert len(referrers(client, subject)) == 2


def test_20_a_referrer_may_come_before_its_subject(client: Client) -> None:
    """A signature that was copied before its image was refused, or never listed."""
    subject = images.manifest([])
    referrer = images.manifest([], subject=images.descriptor(subject, content_type_header(subject)["Content-Type"]))
    client.push_blob("app", images.EMPTY_CONFIG)
    assert referrers(client, subject) == []
    pushed = client.request("PUT", f"/v2/app/manifests/{digest_of(referrer)}", referrer, content_type_header(referrer))
    assert (pushed.status, pushed.headers["OCI-Subject"]) == (201, digest_of(subject))
    client.push_manifest("app", "v1", subject)
    assert [each["digest"] for each in referrers(client, subject)] == [digest_of(referrer)]
