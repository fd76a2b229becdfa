"""An exact client over a connection of its own: each request is sent once, and what came of it is told."""

import contextlib
import http.client
from collections.abc import Mapping
from typing import Any, NamedTuple

from lading_storage.digests import digest_of
from tests.support.app_client import content_type_header

REQUEST_TIMEOUT = 60.0
"""Seconds for an answer."""


class RequestOutcome(NamedTuple):
    """What came of a request; status 0 where no response came, and the outcome is unknown."""

    status: int
    headers: Any = None
    body: bytes = b""

    @property
    def unknown(self) -> bool:
        """Whether it may have been done, or not."""
        return self.status in (0, 503)


class ExactClient:
    """Asks the server at a port of 127.0.0.1. One thread at a time may use it."""

    def __init__(self, port: int) -> None:
        """Connect when there is something to ask."""
        self.port = port
        self._connection: http.client.HTTPConnection | None = None

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> RequestOutcome:
        """One request."""
        if self._connection is None or self._connection.port != self.port:
            self.close()
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_TIMEOUT)
        try:
            self._connection.request(method, path, body, headers or {})
            with contextlib.closing(self._connection.getresponse()) as answer:
                return RequestOutcome(answer.status, answer.headers, answer.read())
        except (OSError, http.client.HTTPException):
            self.close()
            return RequestOutcome(0)

    def put_manifest(self, repository: str, reference: str, content: bytes) -> RequestOutcome:
        """Push a manifest."""
        return self.request("PUT", f"/v2/{repository}/manifests/{reference}", content, content_type_header(content))

    def push_blob(self, repository: str, content: bytes) -> RequestOutcome:
        """Push a blob as docker does, but that each request says its length: what it ends with."""
        begun = self.request("POST", f"/v2/{repository}/blobs/uploads/", b"")
        if begun.status != 202:
            return begun
        path = begun.headers["Location"]
        path = path[path.index("/v2/") :]
        sent = self.request("PATCH", path, content)
        return self.request("PUT", f"{path}?digest={digest_of(content)}", b"") if sent.status == 202 else sent

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None
