"""What is refused before a request is routed: a wrong Host, a foreign Host or site, and a path or method written oddly.

Sent byte for byte, to `lading serve` (granian) and to the function as functions-framework serves it (gunicorn).
"""

import json
import socket
from collections.abc import Iterator
from email.message import Message
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lading import settings
from lading.http.request_checks import RequestChecks
from lading.registry.errors import RegistryError
from lading_storage.digests import digest_of
from tests.support.function_commands import FRAMEWORK
from tests.support.server_process import PROCESS_TIMEOUT, Server, run_lading, serving, user_environment

BLOB = digest_of(b"x")
UPLOAD = f"/v2/app/blobs/uploads/?digest={BLOB}"


@pytest.fixture(scope="module", params=["serve", "framework"])
def everybody(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A registry with `--access everybody` and a --url, which is what a container on this machine would use."""
    folder = tmp_path_factory.mktemp("everybody")
    command = FRAMEWORK if request.param == "framework" else ()
    variables = {"LADING_DATA": str(folder / "data"), "LADING_URL": "http://host.docker.internal:5000"}
    with serving(variables, folder / "log", command=command) as server:
        yield server


@pytest.fixture(scope="module", params=["serve", "framework"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A registry with one user, seen by clients as https://registry.example."""
    folder = tmp_path_factory.mktemp("users")
    variables, authorization = user_environment(folder / "access")
    command = FRAMEWORK if request.param == "framework" else ()
    variables = {**variables, "LADING_DATA": str(folder / "data"), "LADING_URL": "https://registry.example"}
    with serving(variables, folder / "log", command=command) as server:
        server.authorization = authorization
        yield server


class CheckedResponse(NamedTuple):
    """An answer: its status, its headers, and its first error, where it is one in the specification's form."""

    status: int
    headers: Message
    error: dict[str, Any]


def send(server: Server, line: str, *headers: str, body: str = "") -> CheckedResponse:
    """Send a request line, headers and a body as they are."""
    lines = [line, *headers, "Connection: close", *([f"Content-Length: {len(body)}"] if body else [])]
    with socket.create_connection(("127.0.0.1", server.port), timeout=PROCESS_TIMEOUT) as sock:
        sock.sendall("\r\n".join([*lines, "", body]).encode("latin-1"))
        with HTTPResponse(sock, method=line.partition(" ")[0]) as response:
            response.begin()
            content = response.read()
            found = json.loads(content) if response.headers.get("Content-Type") == "application/json" else {}
            return CheckedResponse(response.status, response.headers, found.get("errors", [{}])[0])


def local(server: Server) -> str:
    return f"Host: 127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Host:"],
        ["Host: 127.0.0.1", "Host: 127.0.0.1"],
        ["Host: 127.0.0.1", "Host: evil.example"],
        ["Host: 127.0.0.1,evil.example"],
        ["Host: admin@127.0.0.1"],
        ["Host: 127.0.0.1:5000:5000"],
        ["Host: 127.0.0.1:65536"],
        ["Host: 127.0.0.1:http"],
        ["Host: 127.0.0.1/v2/"],
        ["Host: [::1"],
        ["Host: ::1"],
        ["Host: h\xf6st.example"],
        ["Host: ho st"],
    ],
    ids=str,
)
def test_a_request_has_exactly_one_valid_host(everybody: Server, headers: list[str]) -> None:
    answered = send(everybody, "GET /v2/ HTTP/1.1", *headers)
    assert answered.status == 400, answered


@pytest.mark.parametrize("headers", [[], ["Host: 127.0.0.1", "Host: evil.example"]], ids=str)
def test_with_users_too(guarded: Server, headers: list[str]) -> None:
    assert send(guarded, "GET /v2/ HTTP/1.1", *headers).status == 400
    assert send(guarded, "POST /v2/token HTTP/1.1", *headers).status == 400


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost:5000",
        "127.0.0.1",
        "127.8.9.1:80",
        "[::1]",
        "[::1]:5000",
        "host.docker.internal:9",
    ],
)
def test_everybody_reaches_the_registry_by_loopback_and_by_the_host_of_its_url(everybody: Server, host: str) -> None:
    assert send(everybody, "GET /v2/ HTTP/1.1", f"Host: {host}").status == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:5000", "localhost.evil.example", "127.0.0.1.evil.example", "evil-localhost"),
        *("0.0.0.0", "10.0.0.1:5000", "[2001:db8::1]", "[::]", "2130706433", "registry:5000", "evil.docker.internal"),
    ],
)
@pytest.mark.parametrize("line", ["GET /v2/_catalog", "DELETE /v2/app", f"POST {UPLOAD}"])
def test_a_name_that_a_page_has_made_resolve_to_loopback_is_refused(everybody: Server, line: str, host: str) -> None:
    answered = send(everybody, f"{line} HTTP/1.1", f"Host: {host}", body="x" if "POST" in line else "")

    assert answered.status == 403
    assert answered.error["code"] == "DENIED"
    assert "--url" in answered.error["message"]


def test_with_users_any_host_is_served(guarded: Server) -> None:
    """A proxy may send another name than clients know; who asks is proved by credentials."""
    asked = send(guarded, "GET /v2/ HTTP/1.1", "Host: lading.internal:80", f"Authorization: {guarded.authorization}")
    assert asked.status == 200


FOREIGN = [
    ["Origin: https://evil.example"],
    ["Origin: null"],
    ["Origin: file://"],
    ["Origin:"],
    ["Origin: http://127.0.0.1:1"],
    ["Origin: https://evil.example:99999"],
    ["Origin: http://127.0.0.1@evil.example"],
    ["Sec-Fetch-Site: cross-site"],
    ["Sec-Fetch-Site: same-site"],
    ["Sec-Fetch-Site: Cross-Site"],
    ["Sec-Fetch-Site: cross-site", "Origin: {own}"],
    ["Origin: {own}", "Origin: https://evil.example"],
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(
    "line",
    [
        f"POST {UPLOAD}",
        "PUT /v2/app/manifests/v1",
        "PATCH /v2/app/blobs/uploads/x",
        "DELETE /v2/app/manifests/v1",
        "POST /v2/token",
    ],
)
def test_a_page_of_another_site_writes_nothing(guarded: Server, line: str, headers: list[str]) -> None:
    """With the credentials that a browser remembers."""
    sent = [header.format(own=f"http://127.0.0.1:{guarded.port}") for header in headers]
    access = f"Authorization: {guarded.authorization}"

    answered = send(guarded, f"{line} HTTP/1.1", local(guarded), access, "Content-Type: text/plain", *sent, body="x")

    assert (answered.status, answered.error["code"]) == (403, "DENIED")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Origin: http://127.0.0.1:{port}", "Sec-Fetch-Site: same-origin"],
        ["Origin: https://registry.example"],
        ["Origin: https://registry.example:443"],
        ["Sec-Fetch-Site: none"],
    ],
    ids=str,
)
def test_programs_and_pages_of_the_registry_itself_write(guarded: Server, headers: list[str]) -> None:
    sent = [header.format(port=guarded.port) for header in headers]
    access = f"Authorization: {guarded.authorization}"
    assert send(guarded, f"POST {UPLOAD} HTTP/1.1", local(guarded), access, *sent, body="x").status == 201


def test_a_page_of_another_site_may_cause_reads_that_it_cannot_see(guarded: Server) -> None:
    access = f"Authorization: {guarded.authorization}"
    answered = send(guarded, "GET /v2/ HTTP/1.1", local(guarded), access, *FOREIGN[0], "Sec-Fetch-Site: cross-site")

    assert answered.status == 200
    assert not [header for header in answered.headers if header.lower().startswith("access-control")]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET //v2/", 404),
        ("GET ///v2/", 404),
        ("GET //v2/app/tags/list", 404),
        ("GET /v2//", 404),
        ("GET /v2//app/tags/list", 400),
        ("GET /v2/app//tags/list", 400),
        ("GET /v2/./app/tags/list", 400),
        ("GET /v2/app/./tags/list", 400),
        ("GET /v2/app/../app/tags/list", 400),
        ("GET /v2/%2e/app/tags/list", 400),
        ("GET /v2/%2E%2E/app/tags/list", 400),
        ("GET /v2/%2e%2e/v2/", 404),
        ("GET /%2fv2/", 404),
        ("GET /%76%32/", 200),
    ],
)
def test_a_path_is_taken_as_it_was_sent(everybody: Server, line: str, status: int) -> None:
    answered = send(everybody, f"{line} HTTP/1.1", local(everybody))

    assert answered.status == status, answered
    assert status == 200 or answered.error["code"] in ("UNSUPPORTED", "NAME_INVALID")


@pytest.mark.parametrize(
    "line", ["get /v2/", "Get /v2/", "head /v2/", "delete /v2/app/manifests/v1", f"post {UPLOAD}", "gEt /v2/_catalog"]
)
def test_a_method_in_lower_case_is_another_method(everybody: Server, line: str) -> None:
    """RFC 9110, section 9.1. gunicorn refuses them by itself."""
    answered = send(everybody, f"{line} HTTP/1.1", local(everybody))

    if answered.headers.get("Server") == "granian":
        assert (answered.status, answered.error["code"]) == (405, "UNSUPPORTED")
        assert answered.headers["Allow"]
    else:
        assert answered.status == 400


def test_an_absolute_target_is_its_path(everybody: Server) -> None:
    """RFC 9112, section 3.2.2."""
    assert send(everybody, f"GET http://127.0.0.1:{everybody.port}/v2/ HTTP/1.1", local(everybody)).status == 200
    assert send(everybody, "GET http://127.0.0.1//v2/ HTTP/1.1", local(everybody)).status == 404


@pytest.mark.parametrize(
    "header",
    [
        "Host_: evil.example",
        "Authorization_: Basic eDp5",
        "Content_Length: 7",
        "Content_Type: a",
        "Transfer_Encoding: chunked",
    ],
)
def test_a_header_name_with_underscores_changes_neither_host_nor_rights_nor_the_body(
    guarded: Server, header: str
) -> None:
    """granian passes them on, gunicorn drops them."""
    access = f"Authorization: {guarded.authorization}"
    assert send(guarded, f"POST {UPLOAD} HTTP/1.1", local(guarded), access, header, body="x").status == 201
    assert send(guarded, f"POST {UPLOAD} HTTP/1.1", local(guarded), header, body="x").status == 401


@pytest.mark.parametrize("url", ["http://registry.example:5000", "http://registry:5000", "http://10.0.0.1:5000"])
def test_a_url_beyond_this_machine_is_not_for_everybody(url: str, tmp_path: Path) -> None:
    done = run_lading(["serve", "--access", "everybody", "--url", url, "--data", str(tmp_path)], tmp_path)
    assert done.returncode == 1
    assert "everybody is for loopback alone" in done.stderr


def test_the_checks_hold_for_any_server() -> None:
    """A WSGI server that has no Host to tell leaves the key out (PEP 3333)."""
    checks = RequestChecks(settings.load_settings({"LADING_ACCESS": "everybody"}))
    with pytest.raises(RegistryError, match="exactly one Host"):
        checks.check({"REQUEST_METHOD": "GET"})
    checks.check({"REQUEST_METHOD": "GET", "HTTP_HOST": "localhost"})
