"""`lading doctor` pushes through what stands in front of a registry, finds what that spoils, and leaves nothing."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from lading.jobs.doctor import front as front_checks
from lading.jobs.doctor.checks import CheckState, Finding, run_checks
from lading.jobs.doctor.front import FrontChecks
from lading.jobs.doctor.host import Credentials, HostChecks
from lading.version import source_version, version_of
from lading_storage.query import Query
from lading_storage.records.core import Link, Manifest, Upload
from lading_storage.records.deleted import DeletedManifest
from lading_storage.stores import Stores
from tests.support.fake_cloud_services import HOP_BY_HOP, SilentRequestHandler, serve_handler
from tests.support.http_fault_proxy import reset
from tests.support.server_process import PROCESS_TIMEOUT, Server, run_lading, serving, user_environment, wait_until

NAMES = ["version", "lengths", "large", "cut-off"]
REPOSITORY = "lading/doctor"
MIB = 1024 * 1024


class Proxy(SilentRequestHandler):
    """A front that passes everything on, and is asked to do so by those that do not."""

    upstream = ""

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def do_GET(self) -> None:  # noqa: N802
        try:
            body = self.body()
        except (ValueError, OSError):
            self.was_cut()
            self.close_connection = True
            return
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            self.send_back(answer.status, dict(answer.getheaders()), answer.read())

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815

    def send_back(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in {"date", "server", "connection", "transfer-encoding"}:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def was_cut(self) -> None:
        """What becomes of the others where a client goes away."""


class WithoutLengths(Proxy):
    """As Cloud Run was reported to be."""

    def send_back(self, status: int, headers: dict[str, str], body: bytes) -> None:
        if self.command == "HEAD":
            headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        super().send_back(status, headers, body)


class Compressing(Proxy):
    """Tells the length of other bytes."""

    def send_back(self, status: int, headers: dict[str, str], body: bytes) -> None:
        if self.command == "HEAD":
            headers = {name: "20" if name.lower() == "content-length" else value for name, value in headers.items()}
        super().send_back(status, headers, body)


class SizeLimiting(Proxy):
    """Takes 32 MiB."""

    def do_PATCH(self) -> None:  # noqa: N802
        body = self.body()
        if len(body) > 32 * MIB:
            self.respond(413, b"")
        else:
            self.body = lambda: body  # type: ignore[method-assign]
            self.do_GET()


class Cutting(Proxy):
    """Lets 32 MiB through, without a limit in its description."""

    def body(self) -> bytes:
        return super().body()[: 32 * MIB]


class Fragile(Proxy):
    """One client that goes away takes all others along.

    Attributes:
        uploads: connections whose request is being read.
        was_broken: one client has gone away.
        has_cut: the connections of all others are shut down.
    """

    uploads: ClassVar[set[socket.socket]] = set()
    was_broken: ClassVar = threading.Event()
    has_cut: ClassVar = threading.Event()

    def body(self) -> bytes:
        self.uploads.add(self.connection)
        try:
            return super().body()
        finally:
            self.uploads.discard(self.connection)

    def was_cut(self) -> None:
        if self.was_broken.is_set():
            return
        self.was_broken.set()
        # The other client has connected and sent data; this server may not have come to read it.
        wait_until(lambda: bool(self.uploads))
        for sock in self.uploads.copy():
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.has_cut.set()


class SessionLosing(Proxy):
    """Loses sessions whose upload was cut off."""

    def send_back(self, status: int, headers: dict[str, str], body: bytes) -> None:
        if self.command == "GET" and "/uploads/" in self.path:
            status, headers, body = 404, {"Content-Length": "0"}, b""
        super().send_back(status, headers, body)


class WithoutPut(Proxy):
    """Resets the connection of a PUT."""

    def do_PUT(self) -> None:  # noqa: N802
        reset(self)


class WithoutDelete(Proxy):
    """Refuses DELETE by policy."""

    def do_DELETE(self) -> None:  # noqa: N802
        self.respond(405, b"")


class Older(Proxy):
    """Stands before a registry of other sources."""

    def send_back(self, status: int, headers: dict[str, str], body: bytes) -> None:
        if self.path == "/v2/_lading/version":
            body = json.dumps({"version": "0123456789abcdef"}).encode()
            headers |= {"Content-Length": str(len(body))}
            headers.pop("content-length", None)
        super().send_back(status, headers, body)


class Oldest(Proxy):
    """Stands before a registry that has never heard of versions, and hangs up on uploads."""

    def do_GET(self) -> None:  # noqa: N802
        if self.path == "/v2/_lading/version":
            self.respond(404, b"")
        else:
            super().do_GET()

    def do_PATCH(self) -> None:  # noqa: N802
        reset(self)


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_checks, "CONCURRENT_UPLOAD_SECONDS", 0.1)


@pytest.fixture
def server(environment: Mapping[str, str], tmp_path: Path) -> Iterator[Server]:
    with serving(environment, tmp_path / "log") as started:
        yield started


def findings(url: str, credentials: Credentials | None = None) -> dict[str, Finding]:
    host = HostChecks(url, credentials, REPOSITORY)
    list(run_checks(host.checks()[:3]))
    return {each.name: each for each in run_checks(FrontChecks(url, REPOSITORY, host).checks())}


def through(kind: type[Proxy], server: Server) -> dict[str, Finding]:
    handler = type(kind.__name__, (kind,), {"upstream": server.host})
    with serve_handler(handler) as port:
        return findings(f"http://127.0.0.1:{port}")


def assert_nothing_is_left(stores: Stores) -> None:
    assert stores.metadata.find(Query(Manifest, repository=REPOSITORY, limit=10)) == []
    assert stores.metadata.find(Query(Link, repository=REPOSITORY, limit=10)) == []
    sessions = stores.metadata.find(Query(Upload, limit=10))
    assert sessions
    assert all(session.cancelled or session.published for session in sessions)


@pytest.mark.parametrize(
    ("front", "failed"),
    [
        (Proxy, []),
        (WithoutLengths, ["lengths"]),
        (Compressing, ["lengths"]),
        (SizeLimiting, ["large"]),
        (Cutting, ["large"]),
        (Fragile, ["cut-off"]),
        (SessionLosing, ["cut-off"]),
        (WithoutPut, ["lengths"]),
        (Older, ["version"]),
        (Oldest, ["version", "large", "cut-off"]),
    ],
)
def test_what_a_front_spoils_is_found(
    server: Server, stores: Stores, front: type[Proxy], failed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if front is Fragile:
        # The concurrent upload goes on until the front cuts it, however late the front notices the other's end.
        monkeypatch.setattr(Fragile, "uploads", set())
        for name in ("was_broken", "has_cut"):
            monkeypatch.setattr(Fragile, name, threading.Event())
        monkeypatch.setattr(
            front_checks, "time", SimpleNamespace(sleep=lambda _: Fragile.has_cut.wait(PROCESS_TIMEOUT))
        )

    found = through(front, server)

    assert list(found) == NAMES
    assert [name for name, each in found.items() if each.state is not CheckState.OK] == failed, found
    assert all(found[name].remedy for name in failed)
    assert_nothing_is_left(stores)
    dead = stores.metadata.find(Query(DeletedManifest, repository=REPOSITORY, limit=10))
    assert all(each.size < 1024 for each in dead), "what can be restored costs next to nothing"


def test_what_a_front_does_not_let_be_deleted_is_named(server: Server, stores: Stores) -> None:
    found = through(WithoutDelete, server)

    assert [name for name, each in found.items() if each.state is not CheckState.OK] == ["lengths", "large", "cut-off"]
    (manifest,) = stores.metadata.find(Query(Manifest, repository=REPOSITORY, limit=10))
    (blob,) = manifest.blobs
    assert f"the manifest {REPOSITORY}@{manifest.digest} is left (DELETE gets 405)" in found["lengths"].detail
    assert f"the blob {blob} is left (DELETE gets 405)" in found["lengths"].detail
    assert "an upload session is left" in found["large"].detail
    assert all("lading delete" in found[name].remedy for name in ("lengths", "large", "cut-off"))


def test_what_pushes_needs_the_right_to_and_one_without_that_to_delete_leaves_no_manifest(tmp_path: Path) -> None:
    variables, _ = user_environment(tmp_path / "access")
    grants = tmp_path / "access" / "grants"
    with serving({**variables, "LADING_DATA": str(tmp_path / "data")}, tmp_path / "log") as server:
        url, admin = f"http://{server.host}", Credentials("admin", "secret")
        for rights, states in (
            ("pull", [CheckState.OK, *[CheckState.SKIPPED] * 3]),
            ("pull,push", [CheckState.OK] * 4),
            ("pull,push,delete", [CheckState.OK] * 4),
        ):
            grants.write_text(f"admin * {rights}\n")
            found = findings(url, admin)
            assert [each.state for each in found.values()] == states, found
            if rights == "pull,push":
                assert "needs the right to delete" in found["lengths"].detail
                server.authorization = "Basic YWRtaW46c2VjcmV0"
                assert server.request("GET", f"/v2/{REPOSITORY}/tags/list")[0].status == 404, "nothing lives there"
        assert {each.state for each in findings(url).values()} == {CheckState.SKIPPED}, "nobody said as whom"


def test_the_version_is_told_to_those_who_log_in(tmp_path: Path) -> None:
    variables, authorization = user_environment(tmp_path / "access")
    environment = {**variables, "LADING_DATA": str(tmp_path / "data"), "LADING_PUBLIC": "*"}
    with serving(environment, tmp_path / "log") as server:
        anonymous = json.loads(server.request("GET", "/v2/token?scope=repository:a:pull")[1])["token"]
        for headers in ({}, {"Authorization": f"Bearer {anonymous}"}):
            answer, body = server.request("GET", "/v2/_lading/version", headers=headers)
            assert (answer.status, b"version" in body) == (401, False)
        answer, body = server.request("GET", "/v2/_lading/version", headers={"Authorization": authorization})
        assert (answer.status, json.loads(body)) == (200, {"version": source_version()})


def test_a_version_is_of_all_sources_and_their_places(tmp_path: Path) -> None:
    def version(**files: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            path = folder / "lading" / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (folder / "lading" / "notes.txt").write_text(str(folder))
        return version_of(folder / "lading")

    versions: list[Any] = [version(a="1", b="2"), version(a="1", b="3"), version(a="12"), version(b="1", a="2")]
    assert len({*versions}) == 4
    assert version(a="1", b="2") == versions[0]


def test_a_token_in_the_environment_does_for_a_user_and_a_password(tmp_path: Path) -> None:
    variables, _ = user_environment(tmp_path / "access")
    with serving({**variables, "LADING_DATA": str(tmp_path / "data")}, tmp_path / "log") as server:
        done = run_lading(
            ["doctor", "--url", f"http://{server.host}"], tmp_path, {**variables, "LADING_TOKEN": "ya29.no"}
        )
    assert "oauth2accesstoken gets 401 and no token" in done.stdout
    assert "ya29.no" not in done.stdout + done.stderr
