"""Checks of what stands in front of a registry, by pushing through it: lengths, large bodies, interruptions, version.

Everything pushed is random bytes, so nothing of anybody else's is ever named, and is deleted again at once: a session
is cancelled, a blob and a manifest are deleted by their digest. No tag is set. Without the right to delete no manifest
is pushed, and the one small blob is left to collection.
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
from lading.jobs.doctor.host import NO_REGISTRY, HostChecks, field_of
from lading.version import source_version
from lading_storage.digests import digest_of

TIMEOUTS: Final = (5, 60)
"""Seconds to connect, and seconds without a byte."""

CHUNK_SIZE: Final = 64 * 1024
LARGE_BODY_SIZE: Final = 40 * 1024 * 1024
"""Bytes: more than the 32 MiB that Google's front takes over HTTP/1.1."""

CONCURRENT_UPLOAD_SECONDS: Final = 5.0
"""Seconds for which an upload goes on after the one beside it was cut off."""

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"

KEEP_LENGTHS_REMEDY: Final = (
    "something in front of the registry takes Content-Length out of answers to HEAD, and docker can neither pull nor"
    " push then: reach the registry without it (a load balancer instead of a CDN or a run.app address), or let it pass"
)
ALLOW_LARGE_REMEDY: Final = (
    "name the container's port h2c (http2 = true in the Terraform module), or raise the limit of the proxy in front"
    " (client_max_body_size 0 in nginx)"
)
ISOLATE_UPLOADS_REMEDY: Final = (
    "what stands in front ends all uploads of a connection with one of them, or the registry is restarted by it: look"
    " at both logs at this time"
)
UPGRADE_REMEDY: Final = (
    "deploy these sources (docs/operations-google-cloud.md, Upgrade), or run the doctor of the release that is"
    " deployed; right after an upgrade instances of both may answer"
)


class FrontChecks:
    """Checks of a registry through its address, as a client that pushes."""

    def __init__(self, url: str, repository: str, host: HostChecks) -> None:
        """Push into a repository of the registry at `url`, with the credentials that `host` was given."""
        self._url = url
        self._repository = repository
        self._host = host

    def checks(self) -> list[Check]:
        """Return them, in order."""
        return [
            Check("version", self.version),
            Check("lengths", self.lengths),
            Check("large", self.large),
            Check("cut-off", self.interruption),
        ]

    def version(self) -> str:
        """The registry is made of the same sources as this command."""
        authorization = self._host.authorization(to_push=False)
        answer = self._request("GET", "/v2/_lading/version", headers=authorization)
        if answer.status_code != 200:
            raise CheckFailed(f"the registry does not tell its version ({answer.status_code})", UPGRADE_REMEDY)
        theirs, ours = field_of(answer, "version"), source_version()
        if theirs != ours:
            raise CheckFailed(f"the registry has version {theirs}, this command {ours}", UPGRADE_REMEDY)
        return f"{ours}, as this command"

    def lengths(self) -> str:
        """HEAD of a blob and of a manifest tells Content-Length, where a GET would."""
        authorization = self._host.authorization()
        with contextlib.ExitStack() as cleanup:
            config = secrets.token_hex(16).encode()
            digest = self._push_blob(config, authorization)
            if self._host.may_delete():
                cleanup.callback(self._request, "DELETE", self._path("blobs", digest), headers=authorization)
            self._check_length(self._path("blobs", digest), config, authorization)
            if not self._host.may_delete():
                left = f"whose {len(config)} bytes are left to collection"
                return f"kept in HEAD of a blob, {left}; manifests need the right to delete"
            manifest = _manifest(digest, len(config))
            path = self._path("manifests", digest_of(manifest))
            sent = self._request("PUT", path, data=manifest, headers=authorization | {"Content-Type": MANIFEST_TYPE})
            _expect(sent, 201, "a manifest")
            cleanup.callback(self._request, "DELETE", path, headers=authorization)
            self._check_length(path, manifest, authorization)
        return "kept in HEAD of a blob and of a manifest"

    def large(self) -> str:
        """A chunked body of 40 MiB gets through."""
        with self._session() as (location, authorization):
            sent = self._patch(location, authorization, iter([bytes(CHUNK_SIZE)] * (LARGE_BODY_SIZE // CHUNK_SIZE)))
            if sent.status_code == 413:
                raise CheckFailed(f"a body of {LARGE_BODY_SIZE >> 20} MiB is refused (413)", ALLOW_LARGE_REMEDY)
            _expect(sent, 202, f"a body of {LARGE_BODY_SIZE >> 20} MiB", ALLOW_LARGE_REMEDY)
            kept = sent.headers.get("Range", "")
            if kept != f"0-{LARGE_BODY_SIZE - 1}":
                raise CheckFailed(
                    f"of a body of {LARGE_BODY_SIZE >> 20} MiB the registry has {kept or 'nothing'}", ALLOW_LARGE_REMEDY
                )
        return f"bodies of {LARGE_BODY_SIZE >> 20} MiB get through, as docker sends them"

    def interruption(self) -> str:
        """An upload that is cut off ends alone: one beside it goes on, and its own session can be used again."""
        steps = _Steps(threading.Event(), threading.Event(), threading.Event())
        with self._session() as (healthy, authorization), self._session() as (victim, _):
            thread = threading.Thread(target=self._cut_off, args=[victim, authorization, steps])
            thread.start()
            try:
                sent = self._patch(healthy, authorization, _concurrent_body(steps))
            finally:
                steps.cut.set()
                thread.join()
            _expect(sent, 202, "an upload beside one that was cut off", ISOLATE_UPLOADS_REMEDY)
            status = self._request("GET", victim, headers=authorization)
            _expect(status, 204, "the session of an upload that was cut off", ISOLATE_UPLOADS_REMEDY)
        return "uploads end alone: one beside goes on, and the session can be used again"

    def _cut_off(self, location: str, headers: dict[str, str], steps: "_Steps") -> None:
        """Begin an upload, and close its connection in the middle."""

        class CutError(Exception):
            pass

        def body() -> Iterator[bytes]:
            yield bytes(4 * CHUNK_SIZE)
            steps.begun.set()
            steps.cut.wait(TIMEOUTS[1])
            raise CutError

        with contextlib.suppress(CutError, requests.RequestException, CheckFailed):
            self._patch(location, headers, body())
        steps.begun.set()
        steps.gone.set()

    @contextlib.contextmanager
    def _session(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Begin an upload session, which is cancelled in the end; give its URL, and the Authorization."""
        authorization = self._host.authorization()
        begun = self._request("POST", self._path("blobs", "uploads/"), headers=authorization)
        _expect(begun, 202, "the beginning of an upload")
        if "Location" not in begun.headers:
            raise CheckFailed("the beginning of an upload is answered without a Location", NO_REGISTRY)
        location = urljoin(self._url + "/", begun.headers["Location"])
        try:
            yield location, authorization
        finally:
            with contextlib.suppress(CheckFailed):
                self._request("DELETE", location, headers=authorization)

    def _patch(self, location: str, authorization: dict[str, str], body: Iterator[bytes]) -> requests.Response:
        headers = authorization | {"Content-Type": "application/octet-stream"}
        return self._request("PATCH", location, data=body, headers=headers)

    def _push_blob(self, content: bytes, authorization: dict[str, str]) -> str:
        digest = digest_of(content)
        with self._session() as (location, _):
            finish = f"{location}{'&' if '?' in location else '?'}digest={digest}"
            _expect(self._request("PUT", finish, data=content, headers=authorization), 201, "a blob")
        return digest

    def _check_length(self, path: str, content: bytes, authorization: dict[str, str]) -> None:
        """Raise Failed where HEAD does not tell the length of `content`."""
        kind = path.split("/")[-2].removesuffix("s")
        # A front that takes the length away may also have it compressed.
        answer = self._request(
            "HEAD", path, headers=authorization | {"Accept": MANIFEST_TYPE, "Accept-Encoding": "identity"}
        )
        _expect(answer, 200, f"HEAD of a {kind}")
        told = answer.headers.get("Content-Length", "none")
        if told != str(len(content)):
            raise CheckFailed(
                f"HEAD of a {kind} of {len(content)} bytes tells Content-Length: {told}", KEEP_LENGTHS_REMEDY
            )

    def _path(self, *segments: str) -> str:
        return "/".join([f"/v2/{self._repository}", *segments])

    def _request(self, method: str, path: str, **more: Any) -> requests.Response:
        """Return an answer, whatever it says. Raises Failed where there is none."""
        # Whatever ~/.netrc holds for the host is not used as credentials here.
        auth: Callable[[Any], Any] = lambda request: request  # noqa: E731
        url = urljoin(self._url + "/", path)
        try:
            return requests.request(method, url, timeout=TIMEOUTS, allow_redirects=False, auth=auth, **more)
        except requests.RequestException as error:
            raise CheckFailed(f"{method} gets no answer: {type(error).__name__}", NO_REGISTRY) from None


class _Steps(NamedTuple):
    """What has happened to the upload that is cut off: it has begun, it is to be cut, its connection is gone."""

    begun: threading.Event
    cut: threading.Event
    gone: threading.Event


def _concurrent_body(steps: _Steps) -> Iterator[bytes]:
    """Yield a body that begins before the other upload is cut off, and ends well after."""
    yield bytes(CHUNK_SIZE)
    steps.begun.wait(TIMEOUTS[1])
    steps.cut.set()
    steps.gone.wait(TIMEOUTS[1])
    for _ in range(10):
        yield bytes(CHUNK_SIZE)
        time.sleep(CONCURRENT_UPLOAD_SECONDS / 10)


def _manifest(config: str, size: int) -> bytes:
    descriptor = {"mediaType": EMPTY_TYPE, "digest": config, "size": size}
    document = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": descriptor, "layers": [descriptor]}
    return json.dumps(document | {"artifactType": "application/vnd.lading.doctor"}).encode()


def _expect(answer: requests.Response, status: int, what: str, remedy: str = NO_REGISTRY) -> None:
    """Raise Failed where an answer has another status."""
    if answer.status_code != status:
        raise CheckFailed(f"{what} is answered {answer.status_code}, not {status}", remedy)
