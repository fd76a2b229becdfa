"""The base endpoint, tags, catalog: pages to the end, and addresses that come from the settings alone."""

import re

import pytest

from lading.registry.registry import Registry
from tests.api import bad_paths
from tests.support import images
from tests.support.app_client import HOST, Client, content_type_header, make_client

URL = "https://registry.example:8443"


def test_the_base_says_that_this_is_a_registry(client: Client) -> None:
    for path in ("/v2/", "/v2"):
        answer = client.request("GET", path)
        assert (answer.status, answer.json) == (200, {})
        assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


def test_head_is_get_without_a_body(client: Client) -> None:
    layer = images.blob()
    manifest = client.push_image("app", "v1", layer)
    digest = images.descriptor(manifest)["digest"]
    layer_digest = images.descriptor(layer)["digest"]
    paths = ["/v2/", "/v2/_catalog", "/v2/app/tags/list", "/v2/app/manifests/v1", f"/v2/app/manifests/{digest}"]
    paths += [f"/v2/app/blobs/{layer_digest}", f"/v2/app/referrers/{digest}", "/v2/app/manifests/absent", "/v2/app"]

    for path in [*paths, client.start_upload("app"), "/v2/app/tags/list?n=x"]:
        got, head = client.request("GET", path), client.request("HEAD", path)
        assert head.body == b""
        assert head.status == got.status, path
        for headers in (head.headers, got.headers):
            del headers["X-Request-Id"]
        assert sorted(head.headers) == sorted(got.headers), path


@pytest.mark.parametrize("path", bad_paths.METHODS)
def test_a_refused_method_is_answered_with_those_that_are_allowed(client: Client, path: str) -> None:
    answers = [client.request(method, path) for method in ("OPTIONS", *bad_paths.METHODS[path].split())]

    assert len({answer.headers["Allow"] for answer in answers}) == 1
    allowed = answers[0].headers["Allow"].split(", ")
    assert allowed == sorted(allowed)
    assert not set(allowed) & set(bad_paths.METHODS[path].split())


def follow(client: Client, path: str, key: str) -> list[list[str]]:
    """The pages of a listing, by its Links."""
    pages = []
    while path:
        answer = client.request("GET", path)
        assert answer.status == 200
        pages.append(answer.json[key])
        link = re.fullmatch(r'<(/[^>]+)>; rel="next"', answer.headers.get("Link", ""))
        assert link or "Link" not in answer.headers
        path = link[1] if link else ""
    return pages


def test_tags_come_in_pages(client: Client) -> None:
    tags = sorted([f"v{number}" for number in range(23)] + ["A", "_b"], key=lambda tag: (tag.lower(), tag))
    client.push_image("app", tags[0])
    manifest = images.manifest([])
    query = "&".join(f"tag={tag}" for tag in tags[1:])
    assert (
        client.request("PUT", f"/v2/app/manifests/{tags[0]}?{query}", manifest, content_type_header(manifest)).status
        == 201
    )

    pages = follow(client, "/v2/app/tags/list?n=7", "tags")
    assert [len(page) for page in pages] == [7, 7, 7, 4]
    assert [tag for page in pages for tag in page] == tags
    assert follow(client, "/v2/app/tags/list", "tags") == [tags]
    assert follow(client, "/v2/app/tags/list?n=25", "tags") == [tags]
    assert follow(client, "/v2/app/tags/list?n=" + "9" * 5000, "tags") == [tags]
    assert follow(client, "/v2/app/tags/list?n=0", "tags") == [[]]
    assert client.request("GET", "/v2/app/tags/list?n=0").json == {"name": "app", "tags": []}


def test_last_need_not_be_a_tag_that_is_there(client: Client) -> None:
    client.push_image("app", "b")
    client.push_manifest("app", "d", images.manifest([]))

    def tags_after(last: str) -> list[str]:
        tags: list[str] = client.request("GET", f"/v2/app/tags/list?last={last}").json["tags"]
        return tags

    assert tags_after("a") == ["b", "d"]
    assert tags_after("b") == ["d"]
    assert tags_after("c") == ["d"]
    assert tags_after("d") == []
    assert tags_after("C") == ["d"]


@pytest.mark.parametrize(
    "last", ["..", ".", "__x__", "%00", "%2F", "a/b", "%FF", "%F0%9F%90%B3", "a" * 1501, "a" * 9000]
)
@pytest.mark.parametrize("path", ["app/tags/list", "_catalog", f"app/referrers/sha256:{'0' * 64}"])
def test_no_last_makes_a_listing_fail(module_client: Client, path: str, last: str) -> None:
    module_client.push_image("app", "v1")

    assert module_client.request("GET", f"/v2/{path}?last={last}&n=2").status in (200, 400)


def test_a_repository_without_tags_has_an_empty_list(client: Client) -> None:
    client.push_image("app", "v1")
    assert client.request("DELETE", "/v2/app/manifests/v1").status == 202

    assert client.request("GET", "/v2/app/tags/list").json == {"name": "app", "tags": []}


def test_the_catalog_comes_in_pages(client: Client) -> None:
    names = ["a", "a-b", "a/b", "a/b/c", "a0", "b", "c", "manifests/manifests"]
    assert follow(client, "/v2/_catalog", "repositories") == [[]]
    for name in names:
        client.push_image(name, "v1")

    assert follow(client, "/v2/_catalog?n=3", "repositories") == [names[:3], names[3:6], names[6:]]
    assert follow(client, "/v2/_catalog?n=8", "repositories") == [names]
    assert follow(client, "/v2/_catalog?n=0", "repositories") == [[]]
    assert follow(client, "/v2/_catalog?last=a/b", "repositories") == [names[3:]]


def test_addresses_are_relative_or_of_the_settings_and_never_of_the_host(registry: Registry) -> None:
    for url in ("", URL):
        client = make_client(registry, LADING_URL=url)
        layer = images.blob()
        digest = images.descriptor(layer)["digest"]
        forwarded = {"X-Forwarded-Host": HOST, "Forwarded": f"host={HOST}", "X-Forwarded-Proto": "ftp"}
        answers = [
            client.request("POST", "/v2/app/blobs/uploads/", headers=forwarded),
            client.request("POST", f"/v2/app/blobs/uploads/?digest={digest}", layer, forwarded),
            client.request("POST", f"/v2/app/blobs/uploads/?mount={digest}&from=app", headers=forwarded),
        ]
        client.push_image("app", "v1", layer)
        manifest = images.manifest([layer])
        answers.append(
            client.request("PUT", "/v2/app/manifests/v2", manifest, forwarded | content_type_header(manifest))
        )
        for answer in answers:
            assert answer.headers["Location"].startswith(f"{url}/v2/app/")
            assert HOST not in str(answer.headers)
        listed = client.request("GET", "/v2/app/tags/list?n=1", headers=forwarded)
        assert listed.headers["Link"].startswith(f"<{url}/v2/app/tags/list?")


@pytest.mark.parametrize(
    "name",
    [
        "manifests/manifests",
        "blobs/uploads",
        "tags/list",
        "v2/v2",
        "a/blobs",
        "a/referrers",
        "uploads",
        "a/blobs/uploads",
        "x" * 255,
        "a.b/c__d/e---f/0",
    ],
)
def test_a_repository_may_be_named_as_an_endpoint(module_client: Client, name: str) -> None:
    client, layer = module_client, images.blob()
    manifest = client.push_image(name, "manifests", layer)
    location = client.start_upload(name)

    assert client.request("GET", f"/v2/{name}/manifests/manifests").body == manifest
    assert client.request("GET", f"/v2/{name}/blobs/{images.descriptor(layer)['digest']}").body == layer
    assert client.request("GET", f"/v2/{name}/tags/list").json == {"name": name, "tags": ["manifests"]}
    assert client.request("GET", location).status == 204
    assert client.request("DELETE", location).status == 204
    assert client.request("DELETE", f"/v2/{name}/manifests/manifests").status == 202
