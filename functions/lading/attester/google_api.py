"""Requests to Google's APIs as the function's own account, repeated while Google is busy.

    200               the response
    409 ALREADY_EXISTS  AlreadyExists
    429, 5xx, no response  repeated, then GoogleUnavailable
    anything else     GoogleRefused, which names the permissions that the request needs

https://cloud.google.com/apis/design/errors
"""

import os
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import requests
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"

TIMEOUTS: Final = (3.05, 20)
"""Connect timeout and read timeout, in seconds."""

RETRY_DELAYS: Final = (1.0, 2.0, 4.0)
"""Seconds before each repetition, or more where the response has a Retry-After."""

MAX_DELAY: Final = 20.0
"""Maximum of seconds that a Retry-After is waited for."""

BUSY: Final = frozenset({429, 500, 502, 503, 504})
NO_CREDENTIALS: Final = (
    "there are no credentials of Google; on a machine of yours: gcloud auth application-default login"
)
MAX_MESSAGE: Final = 500
"""Characters of a message of Google's that are kept."""


class GoogleError(Exception):
    """A request failed. The text is for the log, and has no secret."""


class GoogleUnavailable(GoogleError):
    """Google was busy, or could not be reached."""


class GoogleRefused(GoogleError):
    """Google refuses the request, and will do so again until a person changes something.

    Attributes:
        status: of the response.
    """

    def __init__(self, status: int, text: str) -> None:
        """Refuse with a status, for a reason."""
        super().__init__(text)
        self.status = status


class AlreadyExists(GoogleError):
    """What was to be created is there."""


class GoogleApi:
    """Client of Google's APIs, with pooled connections. It is for one thread."""

    def __init__(
        self,
        session: Callable[[], requests.Session] | None = None,
        sleep: Callable[[float], object] = time.sleep,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """Use the application default credentials, or `session`; LADING_IAM_EMULATOR_HOST overrides all addresses."""
        self._emulator = environment.get("LADING_IAM_EMULATOR_HOST", "").rstrip("/")
        self._open = session or _own_session
        self._session: requests.Session | None = None
        self._sleep = sleep

    def request(
        self, method: str, url: str, permissions: str, body: Any = None, query: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        """Return the JSON object of the response.

        Args:
            method: GET, POST or PATCH.
            url: https://SERVICE.googleapis.com/….
            permissions: those that the request needs, and on what, as text for the log.
            body: sent as JSON.
            query: parameters.

        Raises:
            GoogleError: see above.
        """
        for delay in (*RETRY_DELAYS, None):
            reason, wait = "", 0.0
            try:
                response = self._send(method, url, body, query)
                if response.status_code not in BUSY:
                    return _checked(response, permissions)
                reason, wait = f"status {response.status_code}", _retry_after(response)
            except DefaultCredentialsError:
                raise GoogleUnavailable(f"{method} {url}: {NO_CREDENTIALS}") from None
            except (requests.RequestException, GoogleAuthError) as error:
                reason = type(error).__name__  # the text may quote a token
            if delay is not None:
                self._sleep(max(delay, wait))
        raise GoogleUnavailable(f"{method} {url}: {reason}")

    def _send(self, method: str, url: str, body: Any, query: Mapping[str, str] | None) -> requests.Response:
        if self._session is None:
            self._session = self._open()
        address = f"{self._emulator}/{url.split('/', 3)[3]}" if self._emulator else url
        return self._session.request(method, address, json=body, params=query, timeout=TIMEOUTS, allow_redirects=False)


def _checked(response: requests.Response, permissions: str) -> Mapping[str, Any]:
    """Return the content of a response. Raises AlreadyExists, GoogleRefused."""
    try:
        fields = response.json()
    except (ValueError, RecursionError):
        fields = None
    if response.status_code == HTTPStatus.OK and isinstance(fields, dict):
        return fields
    error = fields.get("error") if isinstance(fields, dict) else None
    text = str(error.get("message", "") if isinstance(error, dict) else "")[:MAX_MESSAGE]
    if response.status_code == HTTPStatus.CONFLICT:
        raise AlreadyExists(text)
    lacks = f"; it needs {permissions}" if response.status_code in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND) else ""
    method, path = response.request.method, (response.request.path_url or "").partition("?")[0]
    raise GoogleRefused(response.status_code, f"{method} {path}: status {response.status_code}: {text!a}{lacks}")


def _retry_after(response: requests.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), MAX_DELAY) if text.isascii() and text.isdigit() else 0.0


def _own_session() -> requests.Session:
    """Return a session with the application default credentials."""
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    credentials, _ = google.auth.default(scopes=[SCOPE])
    session: requests.Session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    return session
