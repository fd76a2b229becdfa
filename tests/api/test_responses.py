"""What each answer has, whatever it is of."""

import pytest

from lading.http.responses import Response
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.app_client import Client

LAYER = b"layer" * 200
DIGEST = digest_of(LAYER)


@pytest.mark.parametrize(
    ("request_line", "headers", "status", "size"),
    [
        ("GET /v2/", {}, 200, 2),
        ("HEAD /v2/", {}, 200, 2),
        (f"GET /v2/app/blobs/{DIGEST}", {}, 200, 1_000),
        (f"HEAD /v2/app/blobs/{DIGEST}", {}, 200, 1_000),
        (f"GET /v2/app/blobs/{DIGEST}", {"Range": "bytes=5-9"}, 206, 5),
        (f"GET /v2/app/blobs/{DIGEST}", {"If-None-Match": f'"{DIGEST}"'}, 304, None),
        ("HEAD /v2/app/manifests/v1", {}, 200, len(images.manifest([LAYER]))),
        ("GET /v2/app/manifests/absent", {}, 404, ...),
        ("HEAD /v2/app/manifests/absent", {}, 404, ...),
        ("PUT /v2/", {}, 405, ...),
        ("POST /v2/app/blobs/uploads/", {}, 202, 0),
        (f"POST /v2/other/blobs/uploads/?mount={DIGEST}&from=app", {}, 201, 0),
        ("DELETE /v2/app/manifests/v1", {}, 202, 0),
    ],
)
def test_an_answer_says_once_how_long_it_is(
    client: Client, request_line: str, headers: dict[str, str], status: int, size: object
) -> None:
    method, target = request_line.split()
    client.push_image("app", "v1", LAYER)

    answer = client.request(method, target, headers=headers)

    assert answer.status == status
    said = answer.headers.getlist("Content-Length")
    if size is None:
        assert said == []
    elif size is ...:
        assert [int(each) > 0 for each in said] == [True]
    else:
        assert said == [str(size)]
    if method == "HEAD":
        assert answer.body == b""
    elif said:
        assert len(answer.body) == int(said[0])


def test_a_cancelled_upload_has_no_content(client: Client) -> None:
    answer = client.request("DELETE", client.start_upload("app"))

    assert answer.status == 204
    assert "Content-Length" not in answer.headers


def test_every_answer_says_what_it_is_from(client: Client) -> None:
    for target in ("/v2/", "/v2/app/tags/list", "/elsewhere", "/v2/app/manifests/absent"):
        headers = client.request("GET", target).headers
        assert headers.getlist("Docker-Distribution-API-Version") == ["registry/2.0"]
        assert headers.getlist("X-Content-Type-Options") == ["nosniff"]
        assert len(headers.getlist("X-Request-Id")) == 1


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb"])
def test_no_header_can_be_split_by_a_value(value: str) -> None:
    with pytest.raises(ValueError, match="more than one line"):
        Response(200, {"Location": value})
    answer = Response()
    with pytest.raises(ValueError, match="more than one line"):
        answer.add({"Link": value})
    assert answer.headers == []


def test_what_is_to_be_done_at_the_end_is_done_in_order() -> None:
    done: list[str] = []
    answer = Response(content=b"abc")
    answer.call_on_close(lambda: done.append("first"))
    answer.call_on_close(lambda: done.append("second"))

    assert (list(answer), done) == ([b"abc"], [])
    answer.close()
    assert done == ["first", "second"]


def test_all_that_waits_for_the_end_of_an_answer_is_called_though_one_fails() -> None:
    called: list[str] = []
    answer = Response()
    answer.call_on_close(lambda: called.append("first"))
    answer.call_on_close(lambda: 1 / 0)
    answer.call_on_close(lambda: called.append("last"))

    with pytest.raises(ZeroDivisionError):
        answer.close()

    assert called == ["first", "last"]
