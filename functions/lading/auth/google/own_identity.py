"""ID tokens of this process's own service account, from the metadata server of Google Cloud.

https://cloud.google.com/run/docs/authenticating/service-to-service#use_the_metadata_server
"""

from typing import Any, Final

from google.auth.compute_engine import IDTokenCredentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request

from lading.auth.google.client import service_unavailable

_CREDENTIALS: Final[Any] = IDTokenCredentials
"""Without types, unlike the rest of the package."""


class OwnIdentity:
    """The identity towards one audience. Tokens are valid for an hour, and used until shortly before."""

    def __init__(self, audience: str) -> None:
        """Get tokens for `audience`, the URL of a service."""
        self._request = Request()
        self._audience = audience
        self._credentials: Any = None

    def token(self) -> str:
        """Return a valid token. Raises UNAVAILABLE where the metadata server gives none."""
        try:
            if self._credentials is None:
                self._credentials = _CREDENTIALS(self._request, self._audience, use_metadata_identity_endpoint=True)
            if not self._credentials.valid:
                self._credentials.refresh(self._request)
        except GoogleAuthError as error:
            raise service_unavailable("the metadata server", type(error).__name__) from None
        return str(self._credentials.token)
