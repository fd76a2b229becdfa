"""Client of the Google APIs that authenticate and authorize callers, with the caller's own token, never the registry's.

LADING_IAM_EMULATOR_HOST overrides the address of all of them (`python -m emulators`).
"""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import quote, urlsplit

import requests

from lading.auth.bulkhead import Bulkhead
from lading.auth.google.subject import IamSubject
from lading.registry.errors import UNAUTHORIZED, UNAVAILABLE, RegistryError

TIMEOUTS: Final = (3.05, 10)
"""Connect timeout and read timeout, in seconds."""

MAX_CONCURRENT_QUERIES: Final = 64
MAX_WAITING_QUERIES: Final = 32
"""Concurrent queries, and queries that may wait. By default a quarter of the server's threads remains free."""

RESERVED_QUERIES: Final = 16
"""Concurrent queries that are reserved for callers to whom something was granted recently."""

CERTIFICATES_SUBJECT: Final = IamSubject("", known=True)
"""Subject of requests for the keys of ID tokens: all callers wait for the same result, so it has no share."""

log = logging.getLogger("lading")


@dataclass(frozen=True, slots=True)
class Reply:
    """Response of a Google API: the status, and the fields of the JSON object."""

    status: int
    fields: Mapping[str, Any]

    @property
    def permissions(self) -> frozenset[str]:
        """The granted permissions in a response of testIamPermissions."""
        granted = self.fields.get("permissions", [])
        if self.status != 200 or not isinstance(granted, list):
            return frozenset()
        return frozenset(each for each in granted if isinstance(each, str))


class GoogleClient:
    """Client of tokeninfo, testIamPermissions and the keys of ID tokens. Thread-safe.

    Every method raises UNAVAILABLE if the service cannot be reached, or responds with 429 or 5xx.

    on_request  called after each request, a failed one as well, with its host and seconds, of which some are of waiting
                for other requests
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Use Google, or the emulator that the environment names."""
        self._emulator = environment.get("LADING_IAM_EMULATOR_HOST", "").rstrip("/")
        self.on_request: Callable[[str, float], None] | None = None
        self._bulkhead = Bulkhead(MAX_CONCURRENT_QUERIES, MAX_WAITING_QUERIES, reserved=RESERVED_QUERIES)

    def token_info(self, subject: IamSubject) -> Mapping[str, Any] | None:
        """Return the fields of an access token (email, sub, azp, scope …), or None if it is unknown or invalid.

        Any status but 200, 429 and 5xx means that the token is unknown.

        https://oauth2.googleapis.com/tokeninfo; the token is sent in the body, since URLs are logged.
        """
        reply = self._request(
            "POST", "https://oauth2.googleapis.com/tokeninfo", subject, data={"access_token": subject.token}
        )
        return reply.fields if reply.status == 200 else None

    def test_bucket_permissions(
        self, subject: IamSubject, bucket: str, folder: str, permissions: Sequence[str]
    ) -> Reply:
        """Test `permissions` on a managed folder of a bucket, or on the bucket if `folder` is "".

        https://cloud.google.com/storage/docs/json_api/v1/managedFolder/testIamPermissions (and …/buckets/…)
        Status 404 means that the folder does not exist. Raises UNAUTHORIZED if Google rejects the token.
        """
        url = f"https://storage.googleapis.com/storage/v1/b/{quote(bucket, safe='')}"
        if folder:
            url += f"/managedFolders/{quote(folder, safe='')}"
        reply = self._request(
            "GET", f"{url}/iam/testPermissions", subject, subject.token, params={"permissions": list(permissions)}
        )
        if reply.status == 401:
            raise RegistryError(UNAUTHORIZED)
        return reply

    def test_project_permissions(self, subject: IamSubject, project: str, permissions: Sequence[str]) -> Reply:
        """Test `permissions` on a project. Raises UNAUTHORIZED if Google rejects the token.

        https://cloud.google.com/resource-manager/reference/rest/v1/projects/testIamPermissions
        """
        url = f"https://cloudresourcemanager.googleapis.com/v1/projects/{quote(project, safe='')}:testIamPermissions"
        reply = self._request("POST", url, subject, subject.token, json={"permissions": list(permissions)})
        if reply.status == 401:
            raise RegistryError(UNAUTHORIZED)
        return reply

    def certificates(self) -> Reply:
        """Return the keys of Google's ID tokens, a JWKS (https://developers.google.com/identity/openid-connect)."""
        return self._request("GET", "https://www.googleapis.com/oauth2/v3/certs", CERTIFICATES_SUBJECT)

    def _request(self, method: str, url: str, subject: IamSubject, token: str = "", **body: Any) -> Reply:
        began = time.perf_counter()
        try:
            return self._send(method, url, subject, token, **body)
        finally:
            if self.on_request:
                self.on_request(urlsplit(url).hostname or "", time.perf_counter() - began)

    def _send(self, method: str, url: str, subject: IamSubject, token: str, **body: Any) -> Reply:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        service = url.partition("?")[0]
        try:
            with self._bulkhead.slot(subject.network, subject.known, subject.principal):
                response = _session().request(
                    method, self._address(url), headers=headers, timeout=TIMEOUTS, allow_redirects=False, **body
                )
            fields = response.json() if response.content else {}
        except (requests.RequestException, ValueError, RecursionError) as error:
            # The latter two are JSON that Python does not parse: too deep, or with a number of too many digits.
            # Log only the type: the texts of such errors quote the request.
            raise service_unavailable(service, type(error).__name__) from None
        if response.status_code == 429 or response.status_code >= 500 or not isinstance(fields, dict):
            raise service_unavailable(service, str(response.status_code))
        return Reply(response.status_code, fields)

    def _address(self, url: str) -> str:
        return f"{self._emulator}/{url.split('/', 3)[3]}" if self._emulator else url


def service_unavailable(service: str, reason: str) -> RegistryError:
    """Log that a service gave no usable response, and return the UNAVAILABLE error to raise."""
    log.warning("%s is unavailable: %s", service, reason)
    return RegistryError(UNAVAILABLE)


@cache
def _session() -> requests.Session:
    """Return the connection pool of the process."""
    session = requests.Session()
    session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=MAX_CONCURRENT_QUERIES))
    # Otherwise an entry in ~/.netrc would replace the caller's token.
    session.trust_env = False
    session.proxies = requests.utils.get_environ_proxies("https://googleapis.com")
    return session
