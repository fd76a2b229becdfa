"""Checks of a registry's address: host and TLS, a token, rights, the clock, proxies, HTTP/2 and large bodies."""

import os
import re
import secrets
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import certifi
import requests

from lading.auth.credentials import claims_of
from lading.auth.tokens import MAX_CLOCK_SKEW
from lading.jobs.doctor.checks import Check, CheckFailed, CheckSkipped

TIMEOUTS: Final = (5, 15)
CHALLENGE: Final = re.compile(r'Bearer realm="([^"]+)",service="([^"]+)"')

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
SETTINGS: Final = b"\x04"
"""Start of an HTTP/2 connection: the preface with an empty SETTINGS frame (RFC 9113, section 3.4), and the type of the
frame with which the server responds."""

LARGE_BODY_SIZE: Final = 33 * 1024 * 1024
"""Bytes: more than Google's front end accepts over HTTP/1."""

REMEDIES: Final = {
    "dns": "check that the name resolves, and that it is the registry's (--url)",
    "tls": "the certificate is not valid for this name, or not trusted on this machine",
    "connect": "check that the registry is running, and that this machine can reach it",
    403: "the platform requires a token of its own: set invoker_iam_disabled, or allow allUsers to invoke",
    404: "another server responds at this address, or a proxy rewrites the path: /v2/ must reach the registry",
}
DROP_UNDERSCORES_REMEDY: Final = (
    "make the reverse proxy drop them: nginx does by default, Envoy with headers_with_underscores_action: DROP_HEADER,"
    " Caddy with `request_header -X_Forwarded_For`"
)
CHECK_LOGS_REMEDY: Final = "check the logs of the registry and of the proxies in front of it"


NO_RESPONSE: Final = "no registry responds"
"""Reason to skip a check that needs one."""


def field_of(response: requests.Response, name: str) -> str:
    """Return a string field of a JSON response.

    Raises:
        CheckFailed: the response has no such field, as that of a web page.
    """
    try:
        value = response.json()[name]
    except (ValueError, LookupError, TypeError):
        value = None
    if not isinstance(value, str):
        raise CheckFailed(f"a response {response.status_code} has no JSON field {name}", REMEDIES[404])
    return value


class Credentials(NamedTuple):
    """User name and password, or token, with which a client logs in."""

    user: str
    secret: str


class HostChecks:
    """Checks of a registry at its address, from the view of a client."""

    def __init__(self, url: str, credentials: Credentials | None, repository: str, hops: int = 0) -> None:
        """Check a registry.

        Args:
            url: the address of the registry, without a trailing slash.
            credentials: with which to get a token; None skips the checks that need one.
            repository: where to check the rights of the credentials.
            hops: how many reverse proxies the registry trusts (--trusted-hops).
        """
        self._hops = hops
        self._url = url
        self._credentials = credentials
        self._repository = repository
        self._response: requests.Response | None = None
        self._requested_at = 0.0
        self._realm = ""
        self._service = ""
        self._token = ""

    def checks(self) -> list[Check]:
        """Return the checks, in order: later ones use the results of earlier ones."""
        return [
            Check("host", self.host),
            Check("token", self.token),
            Check("rights", self.rights),
            Check("anonymous", self.anonymous_access),
            Check("clock", self.clock),
            Check("proxies", self.proxies),
            Check("HTTP/2", self.http2),
        ]

    def host(self) -> str:
        """Check DNS, TLS, and that /v2/ responds with a challenge that names this address."""
        response = self._get("/v2/")
        self._requested_at = time.time()
        challenge = CHALLENGE.match(response.headers.get("WWW-Authenticate", ""))
        is_open = response.status_code == 200
        if is_open and "Docker-Distribution-API-Version" not in response.headers:
            raise CheckFailed(f"{self._url}/v2/ responds 200, but is not a registry", REMEDIES[404])
        if not is_open and (response.status_code != 401 or challenge is None):
            remedy = REMEDIES.get(response.status_code, CHECK_LOGS_REMEDY)
            raise CheckFailed(f"{self._url}/v2/ responds {response.status_code}", remedy)
        # Set only now: a server that is not a registry gets no further requests.
        self._response = response
        if challenge is None or is_open:
            return f"{self._url}/v2/ responds, and requires no authentication"
        self._realm, self._service = challenge.groups()
        if self._realm != f"{self._url}/v2/token":
            raise CheckFailed(
                f"clients are sent to {self._realm} for a token", f"set LADING_URL={self._url} for the registry"
            )
        return f"{self._url}/v2/ responds, and requires a token"

    def authorization(self, *, to_push: bool = True) -> dict[str, str]:
        """Return the Authorization header of a request, with a new token, since tokens expire after minutes.

        Returns:
            The headers; none if the registry requires no authentication.

        Raises:
            CheckSkipped: there is no registry, no token, or, if `to_push`, no right to push.
        """
        if self._response is None:
            raise CheckSkipped(NO_RESPONSE)
        if not self._realm:
            return {}
        if not self._token:
            raise CheckSkipped("needs a token (--user, or LADING_TOKEN)")
        if to_push and "push" not in self._actions():
            raise CheckSkipped(f"needs the right to push to {self._repository}; use --repository to name another one")
        self._token = self._new_token()
        return {"Authorization": f"Bearer {self._token}"}

    def may_delete(self) -> bool:
        """Return whether what is pushed can be deleted again."""
        return not self._realm or "delete" in self._actions()

    def token(self) -> str:
        """Check that the registry issues a token for the credentials, and accepts it."""
        if self._response is None:
            raise CheckSkipped(NO_RESPONSE)
        if not self._realm:
            raise CheckSkipped("the registry requires no token")
        if self._credentials is None:
            raise CheckSkipped("no credentials were given (--user)")
        self._token = self._new_token()
        response = self._get("/v2/", headers={"Authorization": f"Bearer {self._token}"})
        if response.status_code != 200:
            problem = f"the registry responds {response.status_code} to its own token"
            raise CheckFailed(problem, "all instances must share --keys")
        return f"{self._credentials.user} gets one, as {claims_of(self._token).get('sub') or 'an unnamed principal'}"

    def _new_token(self) -> str:
        assert self._credentials is not None
        scope = f"repository:{self._repository}:pull,push,delete"
        response = self._get("/v2/token", {"service": self._service, "scope": scope}, auth=self._credentials)
        if response.status_code != 200:
            remedy = "check that the credentials are valid, and permitted to use this registry"
            if response.status_code >= 500:
                remedy = "the source of rights did not respond: check the policy bucket or project, and the log"
            raise CheckFailed(f"{self._credentials.user} gets {response.status_code} and no token", remedy)
        return field_of(response, "token")

    def _actions(self) -> list[str]:
        access = claims_of(self._token).get("access", [])
        return [action for each in access if each["type"] == "repository" for action in each["actions"]]

    def rights(self) -> str:
        """Check that the credentials have rights in the repository."""
        if not self._token:
            raise CheckSkipped("there is no token to check")
        actions = self._actions()
        if not actions:
            remedy = "lading explain-access shows which source of rights decided; --repository names another repository"
            raise CheckFailed(f"nothing is allowed in {self._repository}", remedy)
        return f"{', '.join(actions)} in {self._repository}"

    def anonymous_access(self) -> str:
        """Check that an anonymous client cannot write."""
        if self._response is None:
            raise CheckSkipped(NO_RESPONSE)
        if not self._realm:
            raise CheckSkipped("the registry is open, but only to its own machine")
        response = self._request("POST", f"/v2/{self._repository}/blobs/uploads/")
        if response.status_code != 401:
            problem = f"an upload without credentials gets {response.status_code}, not 401"
            raise CheckFailed(problem, CHECK_LOGS_REMEDY)
        return "clients cannot write"

    def clock(self) -> str:
        """Check that the clocks of this machine and of the registry agree."""
        if self._response is None or "Date" not in self._response.headers:
            raise CheckSkipped("no response has a Date header")
        date = self._response.headers["Date"]
        try:
            skew = parsedate_to_datetime(date).timestamp() - self._requested_at
        except ValueError:
            raise CheckFailed(f"the registry's Date header is invalid: {date!r}", CHECK_LOGS_REMEDY) from None
        if abs(skew) > MAX_CLOCK_SKEW:
            remedy = "synchronize both clocks by NTP: tokens and signed URLs are valid for minutes"
            raise CheckFailed(f"the registry's clock differs from this machine's by {skew:+.0f} s", remedy)
        return f"{abs(skew):.0f} s apart"

    def proxies(self) -> str:
        """Check that a trusted proxy drops header names with underscores.

        The registry cannot distinguish X_Forwarded_For from X-Forwarded-For (PEP 3333), so a client could forge its
        address. The registry refuses a write with Sec-Fetch-Site: cross-site, so the response shows whether
        Sec_Fetch_Site passed the proxy.
        """
        if self._response is None or not self._hops:
            raise CheckSkipped("no proxy is trusted (--trusted-hops)" if self._response is not None else NO_RESPONSE)
        response = self._request("POST", "/v2/", headers={"Sec_Fetch_Site": "cross-site"})
        # A 403 of a proxy does not name the header.
        if response.status_code == 403 and "Sec-Fetch-Site" in response.text:
            problem = "a client can forge its address: header names with underscores reach the registry"
            raise CheckFailed(problem, DROP_UNDERSCORES_REMEDY)
        return "header names with underscores are dropped, so a client cannot forge its address"

    def http2(self) -> str:
        """Check whether HTTP/2 is supported, and that a body above 32 MiB is not refused for its size."""
        if self._response is None:
            raise CheckSkipped(NO_RESPONSE)
        size = f"{LARGE_BODY_SIZE >> 20} MiB"
        try:
            is_supported = self._supports_http2()
            status = self._status_of_large_body()
        except TimeoutError:
            raise CheckSkipped("a proxy in front of the registry buffers the whole body before it responds") from None
        except (OSError, HTTPException) as error:
            raise CheckFailed(f"a large body gets no response: {error}", CHECK_LOGS_REMEDY) from None
        if status == 413:
            remedy = "name the container's port h2c (http2 = true in the Terraform module), or raise the proxy's limit"
            raise CheckFailed(f"a body of {size} is refused (413)", remedy)
        if not 400 <= status < 500:
            raise CheckFailed(f"a large body for an unknown upload gets {status}, not 4xx", CHECK_LOGS_REMEDY)
        return f"{'supported' if is_supported else 'not supported, HTTP/1.1 is'}; a body of {size} passes"

    def _supports_http2(self) -> bool:
        """Return whether the server speaks HTTP/2: over TLS by ALPN, otherwise by prior knowledge (h2c)."""
        with self._connected(["h2", "http/1.1"]) as sock:
            if isinstance(sock, ssl.SSLSocket):
                return sock.selected_alpn_protocol() == "h2"
            try:
                sock.sendall(PREFACE)
                return sock.recv(9)[3:4] == SETTINGS
            except OSError:
                return False

    def _status_of_large_body(self) -> int:
        """Announce a large body for an unknown upload, without credentials; return the status. No body is sent."""
        path = f"/v2/{self._repository}/blobs/uploads/{secrets.token_hex(16)}"
        # With Expect: 100-continue a server refuses the request without the body.
        headers = f"Host: {urlsplit(self._url).netloc}\r\nContent-Length: {LARGE_BODY_SIZE}\r\nExpect: 100-continue\r\n"
        with self._connected(["http/1.1"]) as sock:
            sock.sendall(f"PATCH {path} HTTP/1.1\r\n{headers}\r\n".encode())
            with HTTPResponse(sock) as response:
                response.begin()
                return response.status

    def _connected(self, protocols: list[str]) -> socket.socket:
        parts = urlsplit(self._url)
        host, tls = parts.hostname or "", parts.scheme == "https"
        sock = socket.create_connection((host, parts.port or (443 if tls else 80)), timeout=TIMEOUTS[1])
        if not tls:
            return sock
        context = ssl.create_default_context(cafile=os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where())
        context.set_alpn_protocols(protocols)
        return context.wrap_socket(sock, server_hostname=host)

    def _get(self, path: str, parameters: dict[str, str] | None = None, **more: Any) -> requests.Response:
        return self._request("GET", path, params=parameters, **more)

    def _request(self, method: str, path: str, **more: Any) -> requests.Response:
        """Send a request and return the response, of any status.

        Raises:
            CheckFailed: there is no response.
        """
        # Without this, credentials for the host in ~/.netrc would be sent.
        more.setdefault("auth", lambda request: request)
        try:
            return requests.request(method, self._url + path, timeout=TIMEOUTS, allow_redirects=False, **more)
        except requests.RequestException as error:
            kind = "dns" if "NameResolutionError" in repr(error) else "connect"
            if isinstance(error, requests.exceptions.SSLError):
                kind = "tls"
            raise CheckFailed(f"{self._url} cannot be reached: {type(error).__name__}", REMEDIES[kind]) from None
