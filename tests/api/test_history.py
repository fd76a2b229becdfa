"""The history of tags over HTTP, and pulling as of a time."""

from datetime import datetime, timedelta
from urllib.parse import quote

from lading_storage.digests import digest_of
from tests.support.app_client import Client


def test_the_history_of_a_tag_is_listed(client: Client) -> None:
    first = digest_of(client.push_image("team/app", "v1", b"one"))
    second = digest_of(client.push_image("team/app", "v1", b"two"))
    assert client.request("DELETE", "/v2/team/app/manifests/v1").status == 202

    answer = client.request("GET", "/v2/_lading/team/app/history?tag=v1")

    assert (answer.status, answer.json["name"]) == (200, "team/app")
    rows = answer.json["moves"]
    assert [(row["number"], row["action"]) for row in rows] == [(3, "delete"), (2, "push"), (1, "push")]
    assert [(row["before"], row["digest"]) for row in rows] == [(second, None), (first, second), (None, first)]
    assert all(row["request"] and datetime.fromisoformat(row["moved"]).tzinfo for row in rows)


def test_a_repository_may_be_called_as_a_part_of_a_path_is(client: Client) -> None:
    for name in ("app/manifests", "app/blobs", "app/blobs/uploads", "app/tags"):
        client.push_image(name, "v1")
        answer = client.request("GET", f"/v2/_lading/{name}/history")
        assert (answer.status, answer.json["name"], len(answer.json["moves"])) == (200, name, 1)


def test_a_history_comes_in_pages(client: Client) -> None:
    for number in range(5):
        client.push_image("app", f"t{number % 2}", str(number).encode())

    for query, expected in (("", 5), ("&tag=t0", 3), ("&tag=absent", 0)):
        seen, path = [], f"/v2/_lading/app/history?n=2{query}"
        while path:
            answer = client.request("GET", path)
            seen += [(row["tag"], row["number"]) for row in answer.json["moves"]]
            path = answer.headers.get("Link", "").removesuffix('>; rel="next"').removeprefix("<")
        assert len(seen) == len(set(seen)) == expected


def test_what_is_no_page_or_tag_is_refused(client: Client) -> None:
    for query in ("tag=a%20b", "last=..", "tag=v1&last=..", "tag=v1&last=%00", "n=x"):
        assert client.request("GET", f"/v2/_lading/app/history?{query}").status == 400
    assert client.request("GET", "/v2/_lading/App/history").code == "NAME_INVALID"
    assert client.request("POST", "/v2/_lading/app/history").status == 405


def test_a_client_pulls_as_of_a_time(client: Client) -> None:
    first = digest_of(client.push_image("app", "v1", b"one"))
    moved = datetime.fromisoformat(client.request("GET", "/v2/_lading/app/history?tag=v1").json["moves"][0]["moved"])
    later = moved + timedelta(seconds=2)

    answer = client.request("GET", f"/v2/app/manifests/{quote(f'v1.asof-{later:%Y%m%dT%H%M%SZ}')}")

    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (200, first)
    early = client.request("GET", "/v2/app/manifests/v1.asof-20200101T000000Z")
    assert (early.status, early.code) == (404, "MANIFEST_UNKNOWN")
    assert "history" in early.json["errors"][0]["detail"]["reason"]
    assert client.request("DELETE", "/v2/app/manifests/v1.asof-20200101T000000Z").code == "TAG_INVALID"
