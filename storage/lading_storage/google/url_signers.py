"""Signers of Cloud Storage URLs: an HMAC key, a service account's key, or IAM on behalf of the current account.

https://cloud.google.com/storage/docs/authentication/signatures
"""

import hmac
import os
from base64 import b64decode, b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from lading_storage.errors import StorageError, Unavailable

if TYPE_CHECKING:
    from google.auth.credentials import Credentials, Signing

    from lading_storage.forwarding import Hook

LOCATION: Final = "auto"
SERVICE: Final = "storage"
REQUEST_TYPE: Final = "goog4_request"

TIMEOUTS: Final = (3.05, 5)
MAX_RETRIES: Final = 2
"""Seconds to connect to IAM, seconds without receiving a byte, and retries, which are safe: signing has no effects."""

NO_SIGNER: Final = (
    "in Cloud Run pulls must be redirected, since responses are limited to 10 MB, and these credentials cannot sign: "
    "use the service account's own (set no GOOGLE_APPLICATION_CREDENTIALS), or --hmac-key"
)


class Signer(Protocol):
    """Signs as a principal of Cloud Storage. Thread-safe."""

    algorithm: str

    def principal(self) -> str:
        """Return the name of the principal, as used in X-Goog-Credential. Raises Unavailable."""
        ...

    def sign(self, text: bytes, date: str) -> bytes:
        """Return the signature of `text` for a date, YYYYMMDD. Raises Unavailable."""
        ...


class ForwardingSigner:
    """Signer that forwards `sign` to another one through a hook (lading_storage.forwarding)."""

    def __init__(self, signer: Signer, hook: "Hook") -> None:
        """Forward to `signer`, with `hook` around each signature."""
        self.algorithm = signer.algorithm
        self.principal = signer.principal
        self._signer = signer
        self._hook = hook

    def sign(self, text: bytes, date: str) -> bytes:
        """See Signer.sign."""
        return self._hook("sign", {"text": text, "date": date}, lambda: self._signer.sign(text, date))


class HmacSigner:
    """Signs with an HMAC key of a service account, issued by Cloud Storage, in microseconds."""

    algorithm = "GOOG4-HMAC-SHA256"

    def __init__(self, id: str, secret: str) -> None:
        """Use the key `secret` with the access id `id`."""
        self._id = id
        self._secret = secret

    def principal(self) -> str:
        """See Signer.principal."""
        return self._id

    def sign(self, text: bytes, date: str) -> bytes:
        """See Signer.sign. Derives a key for the date, the location and the service."""
        key = f"GOOG4{self._secret}".encode()
        for part in (date, LOCATION, SERVICE, REQUEST_TYPE):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, text, "sha256")


class KeySigner:
    """Signs with credentials that contain a key, such as a service account's, in about a millisecond."""

    algorithm = "GOOG4-RSA-SHA256"

    def __init__(self, credentials: "Signing") -> None:
        """Sign with `credentials`."""
        self._credentials = credentials

    def principal(self) -> str:
        """See Signer.principal."""
        email: str = self._credentials.signer_email
        return email

    def sign(self, text: bytes, date: str) -> bytes:
        """See Signer.sign. Impersonated credentials call IAM."""
        from google.auth.exceptions import GoogleAuthError

        try:
            signature: bytes = self._credentials.sign_bytes(text)  # type: ignore[no-untyped-call]
        except GoogleAuthError as error:
            raise Unavailable(f"IAM did not sign the URL: {error}") from error
        return signature


class IamSigner:
    """Signs with IAM and a Google-managed key, as the account of this process. One call per signature.

    https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signBlob
    Requires iam.serviceAccounts.signBlob on that account itself. LADING_IAM_EMULATOR_HOST overrides the address.
    """

    algorithm = "GOOG4-RSA-SHA256"

    def __init__(self, credentials: "Credentials") -> None:
        """Sign as the account of `credentials`, which have an email address but no key."""
        from google.auth.transport.requests import AuthorizedSession
        from requests.adapters import HTTPAdapter, Retry

        self._credentials = credentials
        self._session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
        self._host = (
            os.environ.get("LADING_IAM_EMULATOR_HOST", "").rstrip("/") or "https://iamcredentials.googleapis.com"
        )
        retry = Retry(
            MAX_RETRIES,
            allowed_methods=None,
            status_forcelist=(429, 500, 502, 503, 504),
            backoff_factor=0.2,
            raise_on_status=False,
        )
        self._session.mount(self._host, HTTPAdapter(max_retries=retry))

    def principal(self) -> str:
        """See Signer.principal. The metadata server returns the name with the first token."""
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        try:
            if self._email() == "default":
                self._credentials.refresh(Request())  # type: ignore[no-untyped-call]
        except GoogleAuthError as error:
            raise Unavailable(f"the metadata server returned no token: {error}") from error
        return self._email()

    def sign(self, text: bytes, date: str) -> bytes:
        """See Signer.sign."""
        from google.auth.exceptions import GoogleAuthError
        from requests import RequestException

        email = self.principal()
        url = f"{self._host}/v1/projects/-/serviceAccounts/{email}:signBlob"
        try:
            response = self._session.post(url, json={"payload": b64encode(text).decode()}, timeout=TIMEOUTS)
            if response.status_code == 403:
                raise Unavailable(f"{email} is not allowed to sign: grant it iam.serviceAccounts.signBlob on itself")
            response.raise_for_status()
            return b64decode(response.json()["signedBlob"])
        except (RequestException, GoogleAuthError, KeyError, ValueError) as error:
            raise Unavailable(f"IAM did not sign the URL: {error}") from error

    def _email(self) -> str:
        email: str = self._credentials.service_account_email  # type: ignore[attr-defined]
        return email


def signer_of(credentials: "Credentials", hmac_key: Path | None) -> Signer | None:
    """Return the signer: the HMAC key if given, else the credentials if they can sign, else None.

    Args:
        credentials: the credentials of this process.
        hmac_key: a file with an HMAC key, `ACCESS_ID SECRET`, or None.

    Raises:
        StorageError: the file is not an HMAC key, or the process runs in Cloud Run, which requires signed URLs, and the
            credentials cannot sign.
    """
    from google.auth.credentials import Signing

    if hmac_key is not None:
        return _hmac_signer(hmac_key)
    if isinstance(credentials, Signing):
        return KeySigner(credentials)
    if getattr(credentials, "service_account_email", None):
        return IamSigner(credentials)
    if "K_SERVICE" in os.environ and "STORAGE_EMULATOR_HOST" not in os.environ:
        raise StorageError(NO_SIGNER)
    return None


def _hmac_signer(path: Path) -> HmacSigner:
    try:
        id, secret = path.read_text().split()
    except (OSError, ValueError) as error:
        # Only the error's type: the message of a ValueError may contain the secret.
        raise StorageError(
            f"{path} is not an HMAC key file; write `ACCESS_ID SECRET` into it: {type(error).__name__}"
        ) from None
    return HmacSigner(id, secret)
