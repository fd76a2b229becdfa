"""KeyStore in a secret of Secret Manager: each change adds a version, and the latest version is used.

https://cloud.google.com/secret-manager/docs/reference/rest
"""

import base64
import os
from typing import Any, Final

import google.auth
import google.auth.credentials
import google.oauth2.credentials
import requests
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession

from lading.auth.credentials import CLOUD_PLATFORM
from lading.auth.keys import Keys, from_json, to_json
from lading.leader import step_down
from lading_storage.errors import Corrupt, Unavailable

TIMEOUTS: Final = (3.05, 10)
"""Connect timeout and read timeout, in seconds."""

EMULATOR_CREDENTIAL: Final = "emulated-token-of-lading"
"""Token for the emulator (LADING_IAM_EMULATOR_HOST), if there is no metadata server."""


class SecretManagerKeyStore:
    """KeyStore in a secret of Secret Manager."""

    def __init__(self, project: str, name: str) -> None:
        """Use the secret `name` of `project`, with the application default credentials."""
        emulator = os.environ.get("LADING_IAM_EMULATOR_HOST", "").rstrip("/")
        credentials: google.auth.credentials.Credentials
        if emulator and "GCE_METADATA_HOST" not in os.environ:
            credentials = google.oauth2.credentials.Credentials(EMULATOR_CREDENTIAL)  # type: ignore[no-untyped-call]
        else:
            credentials, _ = google.auth.default(scopes=[CLOUD_PLATFORM])
        self._session: requests.Session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
        host = emulator or "https://secretmanager.googleapis.com"
        self._url = f"{host}/v1/projects/{project}/secrets/{name}"

    def load(self) -> Keys:
        """See KeyStore.load."""
        fields = self._request("GET", f"{self._url}/versions/latest:access")
        try:
            return from_json(base64.b64decode(fields["payload"]["data"]))
        except (KeyError, TypeError, ValueError):
            raise Corrupt("the response of Secret Manager has no payload") from None

    def save(self, keys: Keys) -> None:
        """See KeyStore.save."""
        self._request(
            "POST", f"{self._url}:addVersion", {"payload": {"data": base64.b64encode(to_json(keys)).decode()}}
        )

    def _request(self, method: str, url: str, body: Any = None) -> Any:
        step_down()
        try:
            response = self._session.request(method, url, json=body, timeout=TIMEOUTS)
            response.raise_for_status()
            return response.json()
        except (requests.RequestException, GoogleAuthError) as error:
            raise Unavailable(f"Secret Manager: {error}") from None
