"""Reports of listings of tags and repositories."""

import re

import pytest

from lading_storage.digests import digest_of
from tests.support import images
from tests.support.app_client import Client


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_11_pages_have_each_tag_once_and_in_order(client: Client, size: int) -> None:
    """`n` was ignored, the last page had a Link, or tags were missing between two pages."""
    manifest = client.push_image("app", "1.0")
    tags = ["1.0", "1.10", "1.9", "_x", "a", "Latest", "latest"]
    for tag in tags[1:]:
        client.push_manifest("app", tag, manifest)
    path, pages = f"/v2/app/tags/list?n={size}", []
    while path:
        answer = client.request("GET", path)
        pages.append(answer.json["tags"])
        link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers.get("Link", ""))
        path = link[1] if link else ""
    assert [tag for page in pages for tag in page] == tags
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert pages[-1]


def test_12_a_repository_without_tags_is_one(client: Client) -> None:
    """Once its last tag was deleted, the catalog listed a repository whose tags were 404, or null."""
    digest = digest_of(client.push_image("app", "v1"))
    assert client.request("DELETE", "/v2/app/manifests/v1").status == 202
    listed = client.request("GET", "/v2/app/tags/list")
    assert (listed.status, listed.json) == (200, {"name": "app", "tags": []})
    assert client.request("GET", "/v2/_catalog").json == {"repositories": ["app"]}
    assert client.request("HEAD", f"/v2/app/manifests/{digest}").status == 200


@pytest.mark.parametrize("name", ["manifests", "a/blobs", "tags/list", "a/blobs/uploads/b", "a/tags", "a/referrers/b"])
def test_13_a_repository_may_be_named_as_a_part_of_the_api(client: Client, name: str) -> None:
    """Names such as `team/blobs` were taken for an endpoint."""
    manifest = client.push_image(name, "list", images.blob())
    assert client.request("GET", f"/v2/{name}/manifests/list").body == manifest
    assert client.request("GET", f"/v2/{name}/tags/list").json == {"name": name, "tags": ["list"]}
    assert client.request("GET", f"/v2/{name}/referrers/{digest_of(manifest)}").json["manifests"] == []
