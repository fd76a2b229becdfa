"""Connection to a registry: requests with tokens, as OCI clients make them, and errors as sentences.

    GET /v2/  ──▶ 401 with WWW-Authenticate: where to get tokens ──▶ GET /v2/token with the credentials ──▶ requests

No secret leaves for another host: redirects are not followed, and tokens are got at the registry itself. A response has
a maximum size and time, whatever the registry sends.
"""

import json
import re
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError, ProxyError
from urllib3.util import make_headers, parse_url

import lading
from lading.client.credentials import Credentials
from lading.client.errors import ClientError
from lading.connection_errors import reason_of, root_cause
from lading.loopback import is_loopback
from lading.registry.errors import ErrorDescriptor, RegistryError

MAX_RESPONSE: Final = 32 * 2**20
"""Maximum bytes of a response: the details of the largest manifest and configuration have less."""

CONNECT_TIMEOUT: Final = 15.0
READ_TIMEOUT: Final = 60.0
CHANGE_TIMEOUT: Final = 900.0
"""Seconds for a connection, for a whole response, and for that of a change: a large repository is deleted in steps."""

RETRY_DELAYS: Final = (1.0, 2.0, 4.0)
"""Seconds before each retry of a read that a busy registry refuses with 503."""

CHUNK_SIZE: Final = 64 * 1024

NO_TOKEN: Final = ""
"""Scope of requests that no token permits: the credentials themselves are sent."""

CHALLENGE: Final = re.compile(r'([a-z_]+)="([^"]*)"')
"""A parameter of a challenge (RFC 9110, section 11.2)."""

WARNING: Final = re.compile(r'299 - "((?:[^"\\]|\\.)*)"')
"""A warning of a registry (distribution-spec, "Warnings"; RFC 7234, section 5.5)."""

MAX_WARNING_BYTES: Final = 4096
MAX_WARNINGS: Final = 5
"""What is read of the warnings of a response: characters, and warnings."""


class Connection:
    """Connection to one registry. Not thread-safe.

    warnings  what the registry warned of in its last response, at most MAX_WARNINGS
    """

    def __init__(self, url: str, credentials: Callable[[str], Credentials | None], advice: str) -> None:
        """Connect at the first request.

        Args:
            url: https://HOST[:PORT], or http:// where the host is loopback.
            credentials: returns the caller's credentials for a host, called once the registry wants some.
            advice: how to get credentials where there are none.

        Raises:
            ClientError: the URL is another one.
        """
        self.url = checked(url)
        self.host = urlsplit(self.url).netloc
        self._find_credentials = credentials
        self._advice = advice
        self._credentials: Credentials | None = None
        self._challenge: Mapping[str, str] | None = None
        self._tokens: dict[str, str] = {}
        self._pool = _pool(self.url)
        self.warnings: list[str] = []

    def request(self, method: str, path: str, scope: str, query: Mapping[str, Any], body: Any = None) -> Any:
        """Make a request; return the JSON of its response, None where it has none.

        Args:
            method: of HTTP.
            path: from /v2 on; names of repositories and digests need no quotation.
            scope: the token's.
            query: parameters; those that are "" are left out.
            body: a JSON object to send, or None.

        Raises:
            RegistryError: the registry refused the request.
            ClientError: it did not respond, or the credentials are not valid.
        """
        parameters = urlencode({name: value for name, value in query.items() if value != ""})
        target = f"{self.url}{path}{'?' if parameters else ''}{parameters}"
        limit = READ_TIMEOUT if method == "GET" else CHANGE_TIMEOUT
        content = None if body is None else json.dumps(body).encode()
        status, sent = self._send(method, target, self._authorization(scope), content, limit)
        if status == 401 and self._tokens.pop(scope, ""):
            # The token has expired: tokens last for minutes.
            status, sent = self._send(method, target, self._authorization(scope), content, limit)
        return self._result(status, sent)

    def _authorization(self, scope: str) -> str:
        """Return the header Authorization for a scope, or "". Raises ClientError."""
        if self._challenge is None:
            self._challenge = self._read_challenge()
            self._credentials = self._find_credentials(self.host) if self._challenge else None
        if not self._credentials or not self._challenge:
            return ""
        if scope == NO_TOKEN or not self._challenge.get("realm", "").startswith("http"):
            return self._credentials.authorization
        if scope not in self._tokens:
            self._tokens[scope] = self._fetch_token(self._credentials, self._challenge, scope)
        return f"Bearer {self._tokens[scope]}"

    def _read_challenge(self) -> Mapping[str, str]:
        """Return the parameters of the registry's challenge; none where it wants no credentials."""
        response = self._open("GET", f"{self.url}/v2/", "", None, READ_TIMEOUT)
        response.close()
        self._refuse_redirect(response)
        if response.status != 401:
            return {}
        return dict(CHALLENGE.findall(response.headers.get("WWW-Authenticate", "")[:4096])) or {"realm": ""}

    def _fetch_token(self, credentials: Credentials, challenge: Mapping[str, str], scope: str) -> str:
        parameters = {"service": challenge.get("service", ""), "scope": scope}
        target = f"{self.url}{self._token_path(challenge['realm'])}?{urlencode(parameters)}"
        status, content = self._send("GET", target, credentials.authorization, None, READ_TIMEOUT)
        reply = self._result(status, content)
        token = reply.get("token") or reply.get("access_token") if isinstance(reply, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise ClientError(f"{self.host} returned no token")
        return token

    def _token_path(self, realm: str) -> str:
        """Return the path of a realm, which is used at the registry's own address.

        The realm as a whole is never requested: parsers of URLs differ in which host a malformed one names.

        Raises:
            ClientError: the realm is of another host.
        """
        try:
            parts = urlsplit(realm)
            same = _is_same_host(parts, urlsplit(self.url))
        except ValueError:
            raise ClientError(f"{self.host} names no valid address where it gives tokens; correct its --url") from None
        if not same:
            raise ClientError(
                f"{self.host} wants the credentials to be sent to {parts.netloc[:200]}; nothing was sent. Use"
                " --registry with the address that the registry names, or correct its --url"
            )
        return parts.path

    def _send(self, method: str, url: str, authorization: str, body: bytes | None, limit: float) -> tuple[int, bytes]:
        """Return the status and the content of a response; a read is retried while the registry is busy.

        Raises ClientError.
        """
        for delay in RETRY_DELAYS if method == "GET" else ():
            status, content = self._send_once(method, url, authorization, body, limit)
            if status != 503:
                return status, content
            time.sleep(delay)
        return self._send_once(method, url, authorization, body, limit)

    def _send_once(
        self, method: str, url: str, authorization: str, body: bytes | None, limit: float
    ) -> tuple[int, bytes]:
        response = self._open(method, url, authorization, body, limit)
        self._refuse_redirect(response)
        deadline, content = time.monotonic() + limit, bytearray()
        try:
            # At the end of the content the connection goes back to the pool.
            while chunk := response.read1(CHUNK_SIZE, decode_content=False):
                content += chunk
                if len(content) > MAX_RESPONSE:
                    raise ClientError(f"{self.host} sent more than {MAX_RESPONSE >> 20} MiB in one response")
                if time.monotonic() > deadline:
                    raise ClientError(f"{self.host} did not end its response within {limit:.0f} seconds; try again")
        except HTTPError as error:
            raise self._unreachable(error) from None
        except ClientError:
            response.close()
            raise
        found = WARNING.findall(", ".join(response.headers.getlist("Warning"))[:MAX_WARNING_BYTES])
        self.warnings = [re.sub(r"\\(.)", r"\1", each) for each in found[:MAX_WARNINGS]]
        return response.status, bytes(content)

    def _open(
        self, method: str, url: str, authorization: str, body: bytes | None, limit: float
    ) -> urllib3.BaseHTTPResponse:
        headers = {"User-Agent": f"lading/{lading.__version__}", "Accept": "application/json"}
        headers |= {"Authorization": authorization} if authorization else {}
        headers |= {"Content-Type": "application/json"} if body is not None else {}
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=limit)
        try:
            return self._pool.request(
                method,
                url,
                body=body,
                headers=headers,
                timeout=timeout,
                redirect=False,
                retries=False,
                preload_content=False,
            )
        except HTTPError as error:
            raise self._unreachable(error) from None

    def _refuse_redirect(self, response: urllib3.BaseHTTPResponse) -> None:
        if 300 <= response.status < 400:
            response.close()
            raise ClientError(
                f"{self.host} redirects to {response.headers.get('Location', 'nowhere')[:200]}, which is not followed:"
                " use --registry with the registry's own address"
            )

    def _unreachable(self, error: HTTPError) -> ClientError:
        cause = root_cause(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = f"its certificate is not trusted: {cause.verify_message} (SSL_CERT_FILE names another authority)"
            return ClientError(f"{self.host} cannot be used, {reason}")
        through = " through the proxy of the environment" if isinstance(error, ProxyError) else ""
        return ClientError(f"{self.host} cannot be reached{through}: {reason_of(cause)[:300]}")

    def _result(self, status: int, content: bytes) -> Any:
        """Return the JSON of a successful response. Raises RegistryError, ClientError."""
        try:
            value = json.loads(content) if content else None
        except (ValueError, RecursionError):
            value = None
        if 200 <= status < 300 and (value is not None or not content):
            return value
        error = _error_of(status, value)
        if status == 401:
            raise ClientError(self._refusal(error))
        if error is None or error.descriptor[:2] == ("UNSUPPORTED", 404):
            raise ClientError(
                f"{self.host} did not respond as a registry of this release of Lading: its status was {status}"
            )
        if status == 403 and self._credentials and not error.is_of_policy:
            message = f"{error.descriptor.message}; the credentials are those of {self._who(self._credentials)}"
            raise RegistryError(error.descriptor._replace(message=message), error.detail)
        raise error

    def _refusal(self, error: RegistryError | None) -> str:
        if not self._credentials:
            return f"{self.host} wants credentials, and there are none: {self._advice}"
        reason = "" if error is None or error.descriptor.code == "UNAUTHORIZED" else f" ({error})"
        return f"{self.host} refused the credentials of {self._who(self._credentials)}{reason}: {self._advice}"

    @staticmethod
    def _who(credentials: Credentials) -> str:
        return f"{credentials.user} from {credentials.source}"


def _error_of(status: int, value: Any) -> RegistryError | None:
    """Return the error of a response as the registry raised it, or None where it is none of a registry."""
    errors = value.get("errors") if isinstance(value, dict) else None
    entry = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(entry, dict):
        return None
    code, message = entry.get("code"), entry.get("message")
    if not isinstance(code, str) or not isinstance(message, str):
        return None
    return RegistryError(ErrorDescriptor(code, status, message), entry.get("detail"))


def checked(url: str) -> str:
    """Return a registry's URL without a slash at its end. Raises ClientError."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if "@" in parts.netloc:
        # The message must not have the password.
        raise ClientError("--registry has no user and no password; use --username NAME --password-file FILE for them")
    if parts.scheme not in ("https", "http") or not host or parts.path.strip("/") or parts.query:
        raise ClientError(f"--registry is https://HOST or https://HOST:PORT, not {url[:200] or 'empty'}")
    if parts.scheme == "http" and not is_loopback(host):
        raise ClientError(f"--registry http://{parts.netloc} would send credentials unencrypted; use https://")
    return f"{parts.scheme}://{parts.netloc}"


def _is_same_host(first: SplitResult, second: SplitResult) -> bool:
    """Return whether two addresses are of one host, also where both are this machine by other names."""
    hosts = first.hostname or "", second.hostname or ""
    same = hosts[0] == hosts[1] or all(map(is_loopback, hosts))
    return same and first.scheme == second.scheme and _port(first) == _port(second)


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _pool(url: str) -> urllib3.PoolManager:
    """Return a pool of connections that verify certificates, through a proxy where the environment names one.

    Loopback has no proxy, which could read requests without TLS.

    Args:
        url: as `checked` returns it.

    Raises:
        ClientError: the proxy cannot be used.
    """
    parts = urlsplit(url)
    if parts.scheme == "http":
        return urllib3.PoolManager()  # on loopback; to load the certificates of authorities takes 23 ms
    host, context = parts.hostname or "", ssl.create_default_context()
    proxy = getproxies().get(parts.scheme)
    if proxy and not is_loopback(host) and not proxy_bypass(host):
        return _proxy_pool(f"{parts.scheme}_proxy", proxy if "://" in proxy else f"http://{proxy}", context)
    return urllib3.PoolManager(ssl_context=context)


def _proxy_pool(variable: str, proxy: str, context: ssl.SSLContext) -> urllib3.PoolManager:
    """Return a pool of connections through a proxy, to which its URL can log in. Raises ClientError."""
    try:
        login = parse_url(proxy).auth
        headers = make_headers(proxy_basic_auth=unquote(login)) if login else None
        return urllib3.ProxyManager(proxy, proxy_headers=headers, ssl_context=context)
    except (HTTPError, ValueError):
        # The URL may have a password.
        raise ClientError(
            f"the proxy in {variable} is no http:// or https:// proxy; correct or unset {variable}"
        ) from None
