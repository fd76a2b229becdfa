"""A chunked body without its last chunk is never taken for a whole one, and nothing of it is kept."""

import contextlib
import ssl
import time
from collections.abc import Iterator, Mapping

import pytest

from lading.registry.content.manifest_format import OCI_MANIFEST
from lading_storage.digests import digest_of
from tests.serving.truncated_requests import ENDS, TRUNCATIONS, Connection, connect, send_truncated
from tests.support import images
from tests.support.certificates import self_signed
from tests.support.server_process import PROCESS_TIMEOUT, Server, read_response, serving, user_environment

BLOB = images.EMPTY_CONFIG
UPLOADS = "/v2/a/blobs/uploads/"
FIRST, SECOND = (images.manifest([], annotations={"which": which}) for which in ("first", "second"))
FORM = b"grant_type=password&service=x&scope=repository:a:pull&username=admin&password=secret"


@pytest.fixture(scope="module", params=["HTTP/1.1", "TLS"])
def private(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A registry with one user, where `prod` names FIRST."""
    folder = tmp_path_factory.mktemp("cut")
    variables, authorization = user_environment(folder / "access")
    arguments, context = [], None
    if request.param == "TLS":
        certificate, key = self_signed(folder)
        arguments = ["--tls-cert", str(certificate), "--tls-key", str(key)]
        context = ssl.create_default_context(cafile=str(certificate))
    environment = {"LADING_DATA": str(folder / "data"), **variables}
    with serving(environment, folder / "log", arguments, tls=context) as server:
        server.authorization = authorization
        pushed, _ = server.request("POST", f"{UPLOADS}?digest={digest_of(BLOB)}", BLOB)
        tagged, _ = server.request("PUT", "/v2/a/manifests/prod", FIRST, {"Content-Type": OCI_MANIFEST})
        assert (pushed.status, tagged.status) == (201, 201)
        yield server


def send_and_end(server: Server, line: str, sent: bytes, end: str, content_type: str = OCI_MANIFEST) -> int:
    """Send a cut request; return the status in the access log, which is written when it has been refused or done."""
    method = line.split(maxsplit=1)[0]
    agent = f"cut-{time.monotonic_ns()}"
    headers = {"Authorization": server.authorization, "Content-Type": content_type, "User-Agent": agent}
    connection = connect(("127.0.0.1", server.port), server.tls)
    send_truncated(connection, line, headers, sent, ENDS[end])
    until = time.monotonic() + PROCESS_TIMEOUT
    while time.monotonic() < until:
        for logged in server.log.read_text().splitlines():
            words = logged.split()
            if agent in logged and words[2:3] == [method]:
                return int(words[4])
        time.sleep(0.02)
    raise AssertionError(f"{line} is not in the log")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("cut", TRUNCATIONS)
def test_a_part_that_is_cut_is_not_kept(private: Server, cut: str, end: str) -> None:
    session = private.request("POST", UPLOADS)[0].headers["Location"].partition("/v2/")[2]

    assert send_and_end(private, f"PATCH /v2/{session}", TRUNCATIONS[cut](bytes(100_000)), end) == 400

    response, _ = private.request("GET", f"/v2/{session}")
    assert (response.status, response.headers["Range"]) == (204, "0-0")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("cut", TRUNCATIONS)
@pytest.mark.parametrize("whole", [True, False], ids=["all bytes came", "a byte is missing"])
def test_a_blob_that_is_cut_is_not_kept(private: Server, whole: bool, cut: str, end: str) -> None:
    session = private.request("POST", UPLOADS)[0].headers["Location"].partition("/v2/")[2]
    content = images.blob()
    line = f"PUT /v2/{session.partition('?')[0]}?digest={digest_of(content)}"

    assert send_and_end(private, line, TRUNCATIONS[cut](content if whole else content[:-1]), end) == 400

    assert private.request("HEAD", f"/v2/a/blobs/{digest_of(content)}")[0].status == 404


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("cut", TRUNCATIONS)
def test_a_tag_does_not_move_by_a_manifest_that_is_cut_before_its_last_newline(
    private: Server, cut: str, end: str
) -> None:
    assert send_and_end(private, "PUT /v2/a/manifests/prod", TRUNCATIONS[cut](SECOND), end) == 400

    assert private.request("GET", "/v2/a/manifests/prod")[1] == FIRST
    assert private.request("HEAD", f"/v2/a/manifests/{digest_of(SECOND)}")[0].status == 404


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("cut", TRUNCATIONS)
def test_no_token_is_given_for_a_form_that_is_cut(private: Server, cut: str, end: str) -> None:
    form = "application/x-www-form-urlencoded"

    assert send_and_end(private, "POST /v2/token", TRUNCATIONS[cut](FORM), end, form) == 400


def begin_slow_upload(server: Server) -> Connection:
    """Begin a chunked upload from the same address, and leave it open."""
    slow = connect(("127.0.0.1", server.port), server.tls)
    head = f"POST {UPLOADS}?digest={digest_of(bytes(100_000))} HTTP/1.1\r\nHost: localhost\r\n"
    slow.sendall(f"{head}Authorization: {server.authorization}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    slow.sendall(f"{50_000:x}\r\n".encode() + bytes(50_000) + b"\r\n")
    return slow


def test_beside_other_uploads_of_its_address_a_cut_manifest_is_refused_and_a_whole_one_taken(private: Server) -> None:
    moved = images.manifest([], annotations={"which": "moved"})
    with contextlib.closing(begin_slow_upload(private)) as slow:
        for end in ENDS:
            status = send_and_end(private, "PUT /v2/a/manifests/prod", TRUNCATIONS["between chunks"](SECOND), end)
            assert status in (400, 503)
        assert private.request("GET", "/v2/a/manifests/prod")[1] == FIRST
        headers = {"Content-Type": OCI_MANIFEST}
        response, answer = private.request("PUT", "/v2/a/manifests/other", iter([moved]), headers)
        assert response.status == 201, answer

        slow.sendall(f"{50_000:x}\r\n".encode() + bytes(50_000) + b"\r\n0\r\n\r\n")
        assert read_response(slow)[0] == 201, "it was not disturbed"


def test_a_whole_chunked_form_gives_a_token(private: Server) -> None:
    form: Mapping[str, str] = {"Content-Type": "application/x-www-form-urlencoded"}
    response, answer = private.request("POST", "/v2/token", iter([FORM]), form)
    assert response.status == 200, answer
