"""Requests to Google's APIs and to clusters, with the access token of the function's service account."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import google.auth
import google.auth.transport.urllib3
import urllib3

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email")
"""A cluster identifies a service account by its email address
(https://cloud.google.com/kubernetes-engine/docs/how-to/api-server-authentication)."""

ENDPOINTS: Final = {
    "run": "https://run.googleapis.com",
    "container": "https://container.googleapis.com",
    "clouddeploy": "https://clouddeploy.googleapis.com",
}

TIMEOUT: Final = 20.0
"""Seconds for a response: less than the deadline of a delivery."""

MAX_CONNECTIONS: Final = 20
"""Connections to one host that are kept: one for each deployment that an instance runs at once (main.tf)."""

MAX_MESSAGE: Final = 500
"""Characters of an error message that are kept."""

PRECONDITION_STATUSES: Final = frozenset({"ABORTED", "FAILED_PRECONDITION"})
"""What an outdated etag gives. The references say nothing: by AIP-154, ABORTED, and FAILED_PRECONDITION before 2021."""


class ApiError(Exception):
    """A response that is an error, or none at all.

    Attributes:
        status: of HTTP; 0 if there was no response.
        reason: Google's, such as NOT_FOUND, or that of Kubernetes, such as AlreadyExists.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        """Describe the error; `message` is for people."""
        super().__init__(message)
        self.status = status
        self.reason = reason

    @property
    def is_conflict(self) -> bool:
        """Whether the resource has changed since it was read, or exists already."""
        return self.status in (409, 412) or (self.status == 400 and self.reason in PRECONDITION_STATUSES)

    @property
    def is_permanent(self) -> bool:
        """Whether a retry fails as well until a person changes something: a rule, a permission, a target."""
        return 400 <= self.status < 500 and self.status not in (401, 408, 429) and not self.is_conflict


class Credentials(Protocol):
    """What this module uses of google.auth's credentials."""

    def before_request(self, request: Any, method: str, url: str, headers: dict[str, str]) -> None:
        """Add the Authorization header, with a new token if the last one has expired."""

    def refresh(self, request: Any) -> None:
        """Get a new token."""


class GoogleApi:
    """Client of the APIs."""

    def __init__(self, credentials: Credentials, endpoints: Mapping[str, str] = ENDPOINTS) -> None:
        """Use `endpoints`: the URL of each API, by its name in ENDPOINTS."""
        self._credentials = credentials
        self._endpoints = {**ENDPOINTS, **endpoints}
        self._http = urllib3.PoolManager(retries=False, timeout=TIMEOUT, maxsize=MAX_CONNECTIONS)
        self._token_request = google.auth.transport.urllib3.Request(self._http)  # type: ignore[no-untyped-call]

    def call(self, api: str, method: str, path: str, body: Any = None, **query: str) -> Any:
        """Call a method of an API, and return its response.

        Raises:
            ApiError: the response is an error, or there is none.
        """
        url = f"{self._endpoints[api]}/{path}" + (f"?{urlencode(query)}" if query else "")
        return self.request(self._http, method, url, body)

    def request(
        self, http: urllib3.PoolManager, method: str, url: str, body: Any = None, media_type: str = "application/json"
    ) -> Any:
        """Send a request over connections of the caller's, which may trust other certificates.

        A token that was revoked before it expired gets 401: the request is sent once more, with a new one.

        Raises:
            ApiError: the response is an error, or there is none.
        """
        headers = {"Accept": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        headers |= {} if content is None else {"Content-Type": media_type}

        def send() -> urllib3.BaseHTTPResponse:
            self._credentials.before_request(self._token_request, method, url, headers)
            return http.request(method, url, body=content, headers=headers, redirect=False)

        try:
            response = send()
            if response.status == HTTPStatus.UNAUTHORIZED:
                self._credentials.refresh(self._token_request)
                response = send()
        except (urllib3.exceptions.HTTPError, google.auth.exceptions.GoogleAuthError) as error:
            raise ApiError(0, "UNAVAILABLE", f"{method} {url}: {error}"[:MAX_MESSAGE]) from None
        if response.status >= 300:
            raise _error(method, url, response.status, response.data)
        try:
            return json.loads(response.data)
        except (ValueError, RecursionError) as error:
            raise ApiError(response.status, "UNAVAILABLE", f"{method} {url} returned no JSON: {error}") from None


def _error(method: str, url: str, status: int, content: bytes) -> ApiError:
    """Return the error of a response: `{"error": {"status", "message"}}`, or `{"reason", "message"}` of Kubernetes."""
    try:
        document = json.loads(content)
        error = document.get("error", document)
        reason, message = error.get("status", ""), error.get("message", "")
        reason = error.get("reason", "") if error.get("kind") == "Status" else reason
    except (ValueError, AttributeError, RecursionError):
        reason, message = "", content.decode(errors="replace")
    return ApiError(status, str(reason), f"{method} {url} returned {status}: {message}"[:MAX_MESSAGE])


def connect(endpoints: Mapping[str, str]) -> GoogleApi:
    """Return a client with the credentials of the environment."""
    credentials, _ = google.auth.default(scopes=SCOPES)
    return GoogleApi(credentials, endpoints)
