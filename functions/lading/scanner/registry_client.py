"""Client of a registry, as its scanner: messages with an ID token, layers and data with the registry's own token.

    POST /v2/_lading/scans/…        the ID token of the scanner's account
    GET  /v2/NAME/blobs/DIGEST      the registry's token, for repositories of the claims ──▶ a signed URL, without it
    POST, PATCH, PUT …/uploads/     the registry's token, to the repository of the data

Nothing here knows a store. Requests are repeated while the registry is busy or cannot be reached. All of them may be,
but for those of an upload, which then fails as a whole.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import quote, urljoin, urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.exceptions import HTTPError

from lading.json_values import parse, plain
from lading.registry.errors import SCAN_CLAIM_UNKNOWN, RegistryError
from lading.registry.scans.messages import HeldClaim, TokenRequest, TokenResponse

M = TypeVar("M")

USER: Final = "scanner"
"""The user name that the ID token is the password of (lading.auth.google.function_account)."""

TIMEOUTS: Final = (5, 120)
"""Seconds for a connection, and without a byte."""

RETRY_DELAYS: Final = (1.0, 2.0, 4.0)
"""Seconds before each repetition."""

BUSY: Final = frozenset({429, 500, 502, 503, 504})
"""Statuses after which a request is repeated."""

MAX_RESPONSE: Final = 32 * 1024 * 1024
"""Bytes of a response to a message: a claim with packages of 16 MiB, in base64."""

CHUNK_SIZE: Final = 256 * 1024
UPLOAD_SIZE: Final = 16 * 1024 * 1024
"""Bytes of one request of an upload. Google limits requests to 32 MiB."""

MAX_ERROR: Final = 500
"""Bytes of the text of an error."""

MIN_LIFETIME: Final = 60.0
"""Seconds that a token must still be valid to be used."""


class RegistryUnreachable(Exception):
    """The registry refused a request, or could not be reached. The text is the reason, without secrets."""


class RegistryClient:
    """Client of one registry, with pooled connections. It is for one thread."""

    def __init__(
        self,
        url: str,
        identity: Callable[[], str],
        sleep: Callable[[float], object] = time.sleep,
        *,
        user: str = USER,
        endpoints: str = "scans",
    ) -> None:
        """Call the registry at `url`; `identity` returns an ID token whose audience is `url`.

        Another function than the scanner has another `user`, and messages to the `endpoints` /v2/_lading/ENDPOINTS/….
        """
        self._url = url
        self._user = user
        self._endpoints = f"{url}/v2/_lading/{endpoints}"
        self._identity = identity
        self._sleep = sleep
        self._session = requests.Session()
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.trust_env = False  # neither ~/.netrc, which would take the place of the tokens, nor proxies
        self._tokens: dict[tuple[HeldClaim, ...], tuple[str, float]] = {}

    def post(self, name: str, message: Any, kind: type[M]) -> M:
        """Post a message to one of the endpoints, and return the response.

        Raises:
            RegistryError: SCAN_CLAIM_UNKNOWN if the scanner does not hold a claim.
            RegistryUnreachable: any other failure.
        """
        body = json.dumps(message, default=plain).encode()
        response = self._request(
            "POST",
            f"{self._endpoints}/{name}",
            data=body,
            headers={"Content-Type": "application/json"},
            auth=lambda: HTTPBasicAuth(self._user, self._identity()),
        )
        with response:
            if response.status_code == HTTPStatus.CONFLICT:
                raise RegistryError(SCAN_CLAIM_UNKNOWN)
            _require(response, HTTPStatus.OK)
            content = bytearray()
            for chunk in _chunks(response):
                content += chunk
                if len(content) > MAX_RESPONSE:
                    raise RegistryUnreachable(f"the response to {name} has more than {MAX_RESPONSE} bytes")
        try:
            return parse(kind, json.loads(content))
        except (ValueError, RecursionError) as error:
            raise RegistryUnreachable(f"the response to {name} is of another kind: {str(error)[:200]}") from None

    def blob(self, repository: str, digest: str, claims: Sequence[HeldClaim] = ()) -> Iterator[bytes] | None:
        """Return the bytes of a blob, or None if the repository does not have it.

        Args:
            repository: of one of the claims, or that of the vulnerability data.
            digest: of the blob, which the caller compares with the bytes.
            claims: those that the scanner holds.

        Raises:
            RegistryError, RegistryUnreachable: as `post`, and while the bytes are read.
        """
        url = f"{self._url}/v2/{repository}/blobs/{quote(digest, safe=':')}"
        response = self._request("GET", url, auth=lambda: self._bearer(claims))
        if response.is_redirect:
            location = urljoin(url, response.headers.get("Location", ""))
            response.close()
            # Signed: the registry's token stays with the registry.
            response = self._request("GET", location)
        if response.status_code == HTTPStatus.NOT_FOUND:
            response.close()
            return None
        _require(response, HTTPStatus.OK)
        return _chunks(response)

    def upload(self, repository: str, digest: str, chunks: Iterable[bytes]) -> int:
        """Push a blob to the repository of the vulnerability data, unless it is there; return its size in bytes.

        Raises as `post`.

        A failure leaves an upload that the registry removes; the next attempt begins anew.
        """
        blobs = f"{self._url}/v2/{repository}/blobs"
        with self._request("HEAD", f"{blobs}/{digest}", auth=self._bearer) as response:
            if response.status_code == HTTPStatus.OK:
                return int(response.headers["Content-Length"])
        with self._request("POST", f"{blobs}/uploads/", data=b"", auth=self._bearer) as response:
            session = self._session_of(response)
        start = 0
        for part in _parts(chunks):
            sent = {"Content-Range": f"{start}-{start + len(part) - 1}", "Content-Type": "application/octet-stream"}
            with self._request("PATCH", session, data=part, headers=sent, auth=self._bearer) as response:
                session = self._session_of(response)
            start += len(part)
        end = f"{session}{'&' if '?' in session else '?'}digest={quote(digest)}"
        with self._request("PUT", end, data=b"", auth=self._bearer) as response:
            _require(response, HTTPStatus.CREATED)
        return start

    def _bearer(self, claims: Sequence[HeldClaim] = ()) -> "_Bearer":
        """Return the authorization by the registry's token."""
        token, end = self._tokens.get(tuple(claims), ("", 0.0))
        if end < time.monotonic() + MIN_LIFETIME:
            now = time.monotonic()
            issued = self.post("token", TokenRequest(claims=claims), TokenResponse)
            token = issued.token
            # Tokens of claims that have ended are of no more use.
            self._tokens = {tuple(claims): (token, now + issued.expires_in)}
        return _Bearer(token)

    def _session_of(self, response: requests.Response) -> str:
        """Return the URL of an upload, which is the registry's own: the token goes to no other host."""
        _require(response, HTTPStatus.ACCEPTED)
        url = urljoin(f"{self._url}/", response.headers.get("Location", ""))
        if urlsplit(url)[:2] != urlsplit(self._url)[:2]:
            raise RegistryUnreachable("the registry named another host for an upload")
        return url

    def _request(
        self, method: str, url: str, auth: Callable[[], AuthBase] | None = None, **arguments: Any
    ) -> requests.Response:
        """Return the response to a request, without its content; repeat it while the registry is busy."""
        for delay in (*RETRY_DELAYS, None):
            reason = ""
            try:
                response = self._session.request(
                    method,
                    url,
                    auth=auth() if auth else None,
                    timeout=TIMEOUTS,
                    allow_redirects=False,
                    stream=True,
                    **arguments,
                )
            except requests.RequestException as error:
                reason = type(error).__name__  # the text may quote a signed URL
            else:
                if response.status_code not in BUSY:
                    return response
                response.close()
                reason = f"status {response.status_code}"
            if delay is not None:
                self._sleep(delay)
        raise RegistryUnreachable(f"{method} {urlsplit(url).path}: {reason}")


class _Bearer(AuthBase):
    """A token in the header Authorization; none where the token is ""."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _require(response: requests.Response, status: HTTPStatus) -> None:
    """Raise RegistryUnreachable, with what the registry says, unless a response has a status."""
    if response.status_code != status:
        path, text = urlsplit(response.url).path, response.raw.read(MAX_ERROR, decode_content=False)
        response.close()
        raise RegistryUnreachable(f"{path}: status {response.status_code}, {text.decode(errors='replace')}")


def _parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield content in parts of at least UPLOAD_SIZE bytes, but for the last."""
    part = bytearray()
    for chunk in chunks:
        part += chunk
        if len(part) >= UPLOAD_SIZE:
            yield bytes(part)
            part.clear()
    if part:
        yield bytes(part)


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """Yield the content of a response as it was sent. Raises RegistryUnreachable where it is cut short."""
    try:
        # Layers are compressed themselves: a Content-Encoding is not asked for.
        yield from response.raw.stream(CHUNK_SIZE, decode_content=False)
    except (OSError, HTTPError) as error:
        raise RegistryUnreachable(f"{urlsplit(response.url).path}: {type(error).__name__}") from None
    finally:
        response.close()
