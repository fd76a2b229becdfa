"""Checks of the proxies in front of a registry, by pushes through them: version, lengths, large bodies, interruptions.

Only random bytes are pushed, so no digest of other content is ever used. They are deleted at once: an upload session is
cancelled, a blob and a manifest are deleted by digest. No tag is set. Without the right to delete no manifest is
pushed, and garbage collection removes the only blob, of 32 bytes. Where a DELETE is refused all the same, the check
fails, and says what is left and how it is removed.
"""

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin

import requests

from lading.jobs.doctor.checks import Check, CheckFailed
from lading.jobs.doctor.host import CHECK_LOGS_REMEDY, HostChecks, field_of
from lading.version import source_version
from lading_storage.digests import digest_of

TIMEOUTS: Final = (5, 60)
"""Seconds to connect, and seconds without data."""

CHUNK_SIZE: Final = 64 * 1024
LARGE_BODY_SIZE: Final = 40 * 1024 * 1024
"""Bytes: more than the 32 MiB that Google's front end accepts over HTTP/1.1."""

CONCURRENT_UPLOAD_SECONDS: Final = 5.0
"""Seconds for which an upload continues after a concurrent one was interrupted."""

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"

KEEP_LENGTHS_REMEDY: Final = (
    "a proxy in front of the registry removes Content-Length from responses to HEAD, and docker can neither pull nor"
    " push without it: use an address without that proxy (a load balancer instead of a CDN or a run.app address), or"
    " configure the proxy to keep the header"
)
ALLOW_LARGE_REMEDY: Final = (
    "name the container's port h2c (http2 = true in the Terraform module), or raise the limit of the reverse proxy"
    " (client_max_body_size 0 in nginx)"
)
ISOLATE_UPLOADS_REMEDY: Final = (
    "a proxy in front ends all uploads of a connection together with one of them, or the interruption restarts the"
    " registry: check both logs at this time"
)
ALLOW_DELETE_REMEDY: Final = (
    "let the proxy pass DELETE; delete a manifest that is left by `lading delete --yes REPOSITORY@DIGEST` beside the"
    " stores, or by DELETE of /v2/REPOSITORY/manifests/DIGEST; garbage collection removes blobs and sessions"
)
UPGRADE_REMEDY: Final = (
    "deploy these sources (docs/operations-google-cloud.md, Upgrade), or run the doctor of the release that is"
    " deployed; right after an upgrade instances of both releases may respond"
)


class FrontChecks:
    """Checks of a registry at its address, from the view of a client that pushes."""

    def __init__(self, url: str, repository: str, host: HostChecks) -> None:
        """Push into a repository of the registry at `url`, with the credentials of `host`."""
        self._url = url
        self._repository = repository
        self._host = host
        self._left: list[str] = []

    def checks(self) -> list[Check]:
        """Return the checks, in order."""
        return [
            Check("version", self.version),
            Check("lengths", lambda: self._name_what_is_left(self.lengths)),
            Check("large", lambda: self._name_what_is_left(self.large)),
            Check("cut-off", lambda: self._name_what_is_left(self.interruption)),
        ]

    def _name_what_is_left(self, check: Callable[[], str]) -> str:
        """Run a check, and add to its problem what it could not delete.

        Raises:
            CheckFailed: the check fails, or something is left.
        """
        self._left.clear()
        try:
            found = check()
        except CheckFailed as failure:
            if not self._left:
                raise
            raise CheckFailed(
                "; ".join([str(failure), *self._left]), f"{failure.remedy}; {ALLOW_DELETE_REMEDY}"
            ) from None
        if self._left:
            raise CheckFailed("; ".join([found, *self._left]), ALLOW_DELETE_REMEDY)
        return found

    def _delete(self, path: str, authorization: dict[str, str], what: str) -> None:
        """Delete what a check pushed; note what is left if the DELETE is refused."""
        try:
            response = self._request("DELETE", path, headers=authorization)
        except CheckFailed as failure:
            self._left.append(f"{what} is left ({failure})")
            return
        # A session whose blob was published has ended.
        if response.status_code not in (202, 204, 404):
            self._left.append(f"{what} is left (DELETE gets {response.status_code})")

    def version(self) -> str:
        """Check that the registry runs the same sources as this command."""
        authorization = self._host.authorization(to_push=False)
        response = self._request("GET", "/v2/_lading/version", headers=authorization)
        if response.status_code != 200:
            raise CheckFailed(f"the registry does not report its version ({response.status_code})", UPGRADE_REMEDY)
        deployed, own = field_of(response, "version"), source_version()
        if deployed != own:
            raise CheckFailed(f"the registry has version {deployed}, this command {own}", UPGRADE_REMEDY)
        return f"{own}, like this command"

    def lengths(self) -> str:
        """Check that responses to HEAD of a blob and of a manifest have Content-Length."""
        authorization = self._host.authorization()
        with contextlib.ExitStack() as cleanup:
            config = secrets.token_hex(16).encode()
            digest = self._push_blob(config, authorization)
            if self._host.may_delete():
                cleanup.callback(self._delete, self._path("blobs", digest), authorization, f"the blob {digest}")
            self._check_length(self._path("blobs", digest), config, authorization)
            if not self._host.may_delete():
                rest = f"whose {len(config)} bytes garbage collection removes"
                return f"kept in HEAD of a blob, {rest}; the check of manifests needs the right to delete"
            manifest = _manifest(digest, len(config))
            path = self._path("manifests", digest_of(manifest))
            headers = authorization | {"Content-Type": MANIFEST_TYPE}
            _expect(self._request("PUT", path, data=manifest, headers=headers), 201, "a push of a manifest")
            name = f"{self._repository}@{digest_of(manifest)}"
            cleanup.callback(self._delete, path, authorization, f"the manifest {name}")
            self._check_length(path, manifest, authorization)
        return "kept in HEAD of a blob and of a manifest"

    def large(self) -> str:
        """Check that a chunked body of 40 MiB reaches the registry."""
        size = f"{LARGE_BODY_SIZE >> 20} MiB"
        with self._session() as (location, authorization):
            body = iter([bytes(CHUNK_SIZE)] * (LARGE_BODY_SIZE // CHUNK_SIZE))
            response = self._patch(location, authorization, body)
            if response.status_code == 413:
                raise CheckFailed(f"a body of {size} is refused (413)", ALLOW_LARGE_REMEDY)
            _expect(response, 202, f"a body of {size}", ALLOW_LARGE_REMEDY)
            received = response.headers.get("Range", "")
            if received != f"0-{LARGE_BODY_SIZE - 1}":
                problem = f"the registry received {received or 'nothing'} of a body of {size}"
                raise CheckFailed(problem, ALLOW_LARGE_REMEDY)
        return f"bodies of {size} pass, as docker sends them"

    def interruption(self) -> str:
        """Check that an interrupted upload affects no concurrent one, and that its session can be resumed."""
        steps = _Steps(threading.Event(), threading.Event(), threading.Event())
        with self._session() as (healthy, authorization), self._session() as (victim, _):
            thread = threading.Thread(target=self._interrupt_upload, args=[victim, authorization, steps])
            thread.start()
            try:
                response = self._patch(healthy, authorization, _concurrent_body(steps))
            finally:
                steps.cut.set()
                thread.join()
            _expect(response, 202, "an upload concurrent with an interrupted one", ISOLATE_UPLOADS_REMEDY)
            status = self._request("GET", victim, headers=authorization)
            _expect(status, 204, "the session of an interrupted upload", ISOLATE_UPLOADS_REMEDY)
        return "an interrupted upload can be resumed, and a concurrent one continues"

    def _interrupt_upload(self, location: str, headers: dict[str, str], steps: "_Steps") -> None:
        """Start an upload, and close its connection in the middle."""

        class InterruptionError(Exception):
            pass

        def body() -> Iterator[bytes]:
            yield bytes(4 * CHUNK_SIZE)
            steps.started.set()
            steps.cut.wait(TIMEOUTS[1])
            raise InterruptionError

        with contextlib.suppress(InterruptionError, requests.RequestException, CheckFailed):
            self._patch(location, headers, body())
        steps.started.set()
        steps.closed.set()

    @contextlib.contextmanager
    def _session(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Start an upload session, and cancel it at the end of the block.

        Yields:
            The URL of the session, and the headers that authorize requests.
        """
        authorization = self._host.authorization()
        location = self._start_session(authorization)
        try:
            yield location, authorization
        finally:
            self._delete(location, authorization, "an upload session")

    def _start_session(self, authorization: dict[str, str]) -> str:
        """Start an upload session; return its URL."""
        response = self._request("POST", self._path("blobs", "uploads/"), headers=authorization)
        _expect(response, 202, "the start of an upload")
        if "Location" not in response.headers:
            raise CheckFailed("the response to the start of an upload has no Location", CHECK_LOGS_REMEDY)
        return urljoin(self._url + "/", response.headers["Location"])

    def _patch(self, location: str, authorization: dict[str, str], body: Iterator[bytes]) -> requests.Response:
        headers = authorization | {"Content-Type": "application/octet-stream"}
        return self._request("PATCH", location, data=body, headers=headers)

    def _push_blob(self, content: bytes, authorization: dict[str, str]) -> str:
        digest = digest_of(content)
        location = self._start_session(authorization)
        finish = f"{location}{'&' if '?' in location else '?'}digest={digest}"
        try:
            _expect(self._request("PUT", finish, data=content, headers=authorization), 201, "a push of a blob")
        except CheckFailed:
            self._delete(location, authorization, "an upload session")
            raise
        return digest

    def _check_length(self, path: str, content: bytes, authorization: dict[str, str]) -> None:
        """Raise CheckFailed unless the response to HEAD has the length of `content`."""
        kind = path.split("/")[-2].removesuffix("s")
        # With another encoding a proxy that removes the length may also compress.
        headers = authorization | {"Accept": MANIFEST_TYPE, "Accept-Encoding": "identity"}
        response = self._request("HEAD", path, headers=headers)
        _expect(response, 200, f"HEAD of a {kind}")
        length = response.headers.get("Content-Length", "none")
        if length != str(len(content)):
            problem = f"HEAD of a {kind} of {len(content)} bytes gets Content-Length: {length}"
            raise CheckFailed(problem, KEEP_LENGTHS_REMEDY)

    def _path(self, *segments: str) -> str:
        return "/".join([f"/v2/{self._repository}", *segments])

    def _request(self, method: str, path: str, **more: Any) -> requests.Response:
        """Send a request and return the response, of any status.

        Raises:
            CheckFailed: there is no response.
        """
        # Without this, credentials for the host in ~/.netrc would be sent.
        auth: Callable[[Any], Any] = lambda request: request  # noqa: E731
        url = urljoin(self._url + "/", path)
        try:
            return requests.request(method, url, timeout=TIMEOUTS, allow_redirects=False, auth=auth, **more)
        except requests.RequestException as error:
            raise CheckFailed(f"{method} gets no response: {type(error).__name__}", CHECK_LOGS_REMEDY) from None


class _Steps(NamedTuple):
    """Events of the interrupted upload.

    Attributes:
        started: it has sent data.
        cut: it is to be interrupted now.
        closed: its connection is closed.
    """

    started: threading.Event
    cut: threading.Event
    closed: threading.Event


def _concurrent_body(steps: _Steps) -> Iterator[bytes]:
    """Yield a body that starts before the other upload is interrupted, and ends well after that."""
    yield bytes(CHUNK_SIZE)
    steps.started.wait(TIMEOUTS[1])
    steps.cut.set()
    steps.closed.wait(TIMEOUTS[1])
    for _ in range(10):
        yield bytes(CHUNK_SIZE)
        time.sleep(CONCURRENT_UPLOAD_SECONDS / 10)


def _manifest(config: str, size: int) -> bytes:
    descriptor = {"mediaType": EMPTY_TYPE, "digest": config, "size": size}
    document = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": descriptor, "layers": [descriptor]}
    return json.dumps(document | {"artifactType": "application/vnd.lading.doctor"}).encode()


def _expect(response: requests.Response, status: int, request: str, remedy: str = CHECK_LOGS_REMEDY) -> None:
    """Raise CheckFailed unless a response has the expected status."""
    if response.status_code != status:
        raise CheckFailed(f"{request} gets {response.status_code}, not {status}", remedy)
