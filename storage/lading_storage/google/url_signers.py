"""Who signs the URLs of Cloud Storage: an HMAC key, the key of a service account, or IAM for the account that we are.

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

LOCATION: Final = "auto"
SERVICE: Final = "storage"
REQUEST_TYPE: Final = "goog4_request"

TIMEOUTS: Final = (3.05, 5)
MAX_RETRIES: Final = 2
"""Seconds to connect to IAM, and without a byte; and how often it is asked again, since a signature changes nothing."""

NO_SIGNER: Final = (
    "in Cloud Run a pull must be redirected, since answers end at 10 MB there, and these credentials cannot sign: "
    "use the service account's own (set no GOOGLE_APPLICATION_CREDENTIALS), or --hmac-key"
)


class Signer(Protocol):
    """Signs for somebody whom Cloud Storage knows. Any thread may use it."""

    algorithm: str

    def principal(self) -> str:
        """The name of who signs, as X-Goog-Credential gives it. Raises Unavailable."""
        ...

    def sign(self, text: bytes, date: str) -> bytes:
        """The signature of `text` on a day, YYYYMMDD. Raises Unavailable."""
        ...


class HmacSigner:
    """Signs with an HMAC key of a service account, as Cloud Storage hands it out, in microseconds."""

    algorithm = "GOOG4-HMAC-SHA256"

    def __init__(self, id: str, secret: str) -> None:
        """Sign with the key of this access id."""
        self._id = id
        self._secret = secret

    def principal(self) -> str:
        """See Signer.principal."""
        return self._id

    def sign(self, text: bytes, date: str) -> bytes:
        """See Signer.sign: with a key that is good for the day, the location and the service."""
        key = f"GOOG4{self._secret}".encode()
        for part in (date, LOCATION, SERVICE, REQUEST_TYPE):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, text, "sha256")


class KeySigner:
    """Signs with credentials that do so themselves, as a service account's key does, in about a millisecond."""

    algorithm = "GOOG4-RSA-SHA256"

    def __init__(self, credentials: "Signing") -> None:
        """Sign as `credentials` say."""
        self._credentials = credentials

    def principal(self) -> str:
        """See Signer.principal."""
        email: str = self._credentials.signer_email
        return email

    def sign(self, text: bytes, date: str) -> bytes:
        """See Signer.sign. Impersonated credentials ask IAM."""
        from google.auth.exceptions import GoogleAuthError

        try:
            signature: bytes = self._credentials.sign_bytes(text)  # type: ignore[no-untyped-call]
        except GoogleAuthError as error:
            raise Unavailable(f"IAM does not sign: {error}") from error
        return signature


class IamSigner:
    """Lets IAM sign with a key that only Google has, as the account that this runs as: a call for each signature.

    https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signBlob
    Needs iam.serviceAccounts.signBlob on that account itself. LADING_IAM_EMULATOR_HOST names another address.
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
        again = Retry(
            MAX_RETRIES,
            allowed_methods=None,
            status_forcelist=(429, 500, 502, 503, 504),
            backoff_factor=0.2,
            raise_on_status=False,
        )
        self._session.mount(self._host, HTTPAdapter(max_retries=again))

    def principal(self) -> str:
        """See Signer.principal. The platform tells with the first token."""
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        try:
            if self._email() == "default":
                self._credentials.refresh(Request())  # type: ignore[no-untyped-call]
        except GoogleAuthError as error:
            raise Unavailable(f"the platform gives no token: {error}") from error
        return self._email()

    def sign(self, text: bytes, date: str) -> bytes:
        """See Signer.sign."""
        from google.auth.exceptions import GoogleAuthError
        from requests import RequestException

        email = self.principal()
        url = f"{self._host}/v1/projects/-/serviceAccounts/{email}:signBlob"
        try:
            answer = self._session.post(url, json={"payload": b64encode(text).decode()}, timeout=TIMEOUTS)
            if answer.status_code == 403:
                raise Unavailable(f"{email} may not sign: grant it iam.serviceAccounts.signBlob on itself")
            answer.raise_for_status()
            return b64decode(answer.json()["signedBlob"])
        except (RequestException, GoogleAuthError, KeyError, ValueError) as error:
            raise Unavailable(f"IAM does not sign: {error}") from error

    def _email(self) -> str:
        email: str = self._credentials.service_account_email  # type: ignore[attr-defined]
        return email


def signer_of(credentials: "Credentials", hmac_key: Path | None) -> Signer | None:
    """Who signs: the HMAC key in that file, `ACCESS_ID SECRET`, else whoever the credentials are of, if they can.

    Raises StorageError where the file holds no such key, and in Cloud Run where nobody signs.
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
        # Only its kind: the text of a ValueError may quote the secret.
        raise StorageError(f"{path} holds no HMAC key, ACCESS_ID SECRET: {type(error).__name__}") from None
    return HmacSigner(id, secret)
