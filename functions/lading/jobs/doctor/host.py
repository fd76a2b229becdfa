"""Checks of what clients reach: the host, a token, rights, the clock, and bodies of more than 32 MiB."""

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
"""How HTTP/2 begins: with a frame of settings, here of none. So does the answer (RFC 9113, section 3.4)."""

LARGE_BODY_SIZE: Final = 33 * 1024 * 1024
"""Bytes: more than Google's front end takes over HTTP/1."""

REMEDIES: Final = {
    "dns": "does the name resolve, and is it that of the registry (--url)?",
    "tls": "the certificate is not good for this name, or not trusted here",
    "connect": "is the registry running, and may this machine reach it?",
    403: "the platform asks for a token of its own: set invoker_iam_disabled, or allow allUsers to invoke",
    404: "something else answers here, or the path is rewritten on the way: /v2/ must reach the registry",
}
UNDERSCORES: Final = (
    "let the proxy in front drop them: nginx does by itself, Envoy with headers_with_underscores_action: DROP_HEADER,"
    " Caddy with `request_header -X_Forwarded_For`"
)
NO_REGISTRY: Final = "look at the log of the registry, and at what stands before it"


NO_ANSWER: Final = "no registry answers"
"""Why there is nothing to check."""


def field_of(answer: requests.Response, name: str) -> str:
    """Return a field of an answer in JSON. Raises Failed where the answer has none, as that of a web page."""
    try:
        value = answer.json()[name]
    except (ValueError, LookupError, TypeError):
        value = None
    if not isinstance(value, str):
        raise CheckFailed(f"an answer {answer.status_code} has no {name} in JSON, as a registry's would", REMEDIES[404])
    return value


class Credentials(NamedTuple):
    """With which a client would log in."""

    user: str
    secret: str


class HostChecks:
    """Checks of a registry at its address, as a client would see it."""

    def __init__(self, url: str, credentials: Credentials | None, repository: str, hops: int = 0) -> None:
        """Check the registry at `url`, what `credentials` allow in a repository, and `hops` trusted proxies."""
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
        """All of them, in order: later ones use what earlier ones found."""
        return [
            Check("host", self.host),
            Check("token", self.token),
            Check("rights", self.rights),
            Check("strangers", self.anonymous_access),
            Check("clock", self.clock),
            Check("proxies", self.proxies),
            Check("HTTP/2", self.http2),
        ]

    def host(self) -> str:
        """DNS, TLS and /v2/ answer, with a challenge that leads back here."""
        answer = self._get("/v2/")
        self._requested_at = time.time()
        challenge = CHALLENGE.match(answer.headers.get("WWW-Authenticate", ""))
        is_open = answer.status_code == 200
        if is_open and "Docker-Distribution-API-Version" not in answer.headers:
            raise CheckFailed(f"{self._url}/v2/ answers 200, and is no registry", REMEDIES[404])
        if not is_open and (answer.status_code != 401 or challenge is None):
            raise CheckFailed(
                f"{self._url}/v2/ answers {answer.status_code}", REMEDIES.get(answer.status_code, NO_REGISTRY)
            )
        # Only now: of what is no registry nothing else is asked.
        self._response = answer
        if challenge is None or is_open:
            return f"{self._url}/v2/ answers, and asks nobody who they are"
        self._realm, self._service = challenge.groups()
        if self._realm != f"{self._url}/v2/token":
            raise CheckFailed(
                f"clients are sent to {self._realm} for a token", f"set LADING_URL={self._url} for the registry"
            )
        return f"{self._url}/v2/ answers, and asks for a token"

    def authorization(self, *, to_push: bool = True) -> dict[str, str]:
        """Return the header of a request, with a token of its own: they live for minutes. Raises Skipped.

        None is needed where nobody is asked for one.
        """
        if self._response is None:
            raise CheckSkipped(NO_ANSWER)
        if not self._realm:
            return {}
        if not self._token:
            raise CheckSkipped("needs a token (--user, or LADING_TOKEN)")
        if to_push and "push" not in self._actions():
            raise CheckSkipped(f"needs the right to push to {self._repository}; --repository names another one")
        self._token = self._new_token()
        return {"Authorization": f"Bearer {self._token}"}

    def may_delete(self) -> bool:
        """Return whether what is pushed can be deleted again."""
        return not self._realm or "delete" in self._actions()

    def token(self) -> str:
        """The credentials are taken for a token, and the token is taken."""
        if self._response is None:
            raise CheckSkipped(NO_ANSWER)
        if not self._realm:
            raise CheckSkipped("nobody is asked for one")
        if self._credentials is None:
            raise CheckSkipped("no credentials were given (--user)")
        self._token = self._new_token()
        taken = self._get("/v2/", headers={"Authorization": f"Bearer {self._token}"})
        if taken.status_code != 200:
            raise CheckFailed(f"its own token is answered {taken.status_code}", "all instances must share --keys")
        return f"{self._credentials.user} gets one, as {claims_of(self._token).get('sub') or 'somebody unnamed'}"

    def _new_token(self) -> str:
        assert self._credentials is not None
        scope = f"repository:{self._repository}:pull,push,delete"
        answer = self._get("/v2/token", {"service": self._service, "scope": scope}, auth=self._credentials)
        if answer.status_code != 200:
            remedy = "are the credentials good, and may they be used for this registry?"
            if answer.status_code >= 500:
                remedy = "whoever is asked about rights did not answer: the policy bucket or project, and the log"
            raise CheckFailed(f"{self._credentials.user} gets {answer.status_code} and no token", remedy)
        return field_of(answer, "token")

    def _actions(self) -> list[str]:
        access = claims_of(self._token).get("access", [])
        return [action for each in access if each["type"] == "repository" for action in each["actions"]]

    def rights(self) -> str:
        """The credentials allow something in the repository."""
        if not self._token:
            raise CheckSkipped("there is no token that says")
        actions = self._actions()
        if not actions:
            remedy = "lading explain-access says who was asked; --repository names another one"
            raise CheckFailed(f"nothing is allowed in {self._repository}", remedy)
        return f"{', '.join(actions)} in {self._repository}"

    def anonymous_access(self) -> str:
        """Whoever comes without credentials may write nothing."""
        if self._response is None:
            raise CheckSkipped(NO_ANSWER)
        if not self._realm:
            raise CheckSkipped("the registry is open to its own machine, and to nobody else")
        answer = self._request("POST", f"/v2/{self._repository}/blobs/uploads/")
        if answer.status_code != 401:
            raise CheckFailed(f"an upload without credentials is answered {answer.status_code}", NO_REGISTRY)
        return "cannot write"

    def clock(self) -> str:
        """The clock of this machine and that of the registry agree."""
        if self._response is None or "Date" not in self._response.headers:
            raise CheckSkipped("nobody says what time it is")
        date = self._response.headers["Date"]
        try:
            skew = parsedate_to_datetime(date).timestamp() - self._requested_at
        except ValueError:
            raise CheckFailed(f"the registry's Date is {date!r}", NO_REGISTRY) from None
        if abs(skew) > MAX_CLOCK_SKEW:
            remedy = "set both clocks by NTP: tokens and signed URLs are good for minutes"
            raise CheckFailed(f"the registry's clock is {skew:+.0f} s from this one", remedy)
        return f"{abs(skew):.0f} s apart"

    def proxies(self) -> str:
        """A trusted proxy drops header names with underscores.

        The registry cannot tell X_Forwarded_For from X-Forwarded-For (PEP 3333), so a client could forge its address.
        It refuses a write with Sec-Fetch-Site: cross-site, so the answer says whether Sec_Fetch_Site came through.
        """
        if self._response is None or not self._hops:
            raise CheckSkipped("no proxy is trusted (--trusted-hops)" if self._response is not None else NO_ANSWER)
        answer = self._request("POST", "/v2/", headers={"Sec_Fetch_Site": "cross-site"})
        # A 403 by something in front does not name the header.
        if answer.status_code == 403 and "Sec-Fetch-Site" in answer.text:
            raise CheckFailed(
                "a client can forge its address: header names with underscores reach the registry", UNDERSCORES
            )
        return "drop header names with underscores, by which a client could forge its address"

    def http2(self) -> str:
        """HTTP/2 is spoken, and a body above 32 MiB is not refused for its size."""
        if self._response is None:
            raise CheckSkipped(NO_ANSWER)
        try:
            spoken = self._speaks_http2()
            status = self._status_of_large()
        except TimeoutError:
            raise CheckSkipped("what stands before the registry wants to see a whole body before it answers") from None
        except (OSError, HTTPException) as error:
            raise CheckFailed(f"a large body gets no answer: {error}", NO_REGISTRY) from None
        if status == 413:
            remedy = "name the container's port h2c (http2 = true in the Terraform module), or raise the proxy's limit"
            raise CheckFailed(f"a body of {LARGE_BODY_SIZE >> 20} MiB is refused (413)", remedy)
        if not 400 <= status < 500:
            raise CheckFailed(f"a large body for nothing is answered {status}", NO_REGISTRY)
        return (
            f"{'spoken' if spoken else 'not spoken, HTTP/1.1 is'}; a body of {LARGE_BODY_SIZE >> 20} MiB is let through"
        )

    def _speaks_http2(self) -> bool:
        """Over TLS by ALPN; without it by prior knowledge (h2c)."""
        with self._connected(["h2", "http/1.1"]) as sock:
            if isinstance(sock, ssl.SSLSocket):
                return sock.selected_alpn_protocol() == "h2"
            try:
                sock.sendall(PREFACE)
                return sock.recv(9)[3:4] == SETTINGS
            except OSError:
                return False

    def _status_of_large(self) -> int:
        """The status of a large body for no upload, without credentials, of which only the size is told."""
        path = f"/v2/{self._repository}/blobs/uploads/{secrets.token_hex(16)}"
        # Whoever waits for `100 Continue` is not asked for a body that would be thrown away.
        headers = f"Host: {urlsplit(self._url).netloc}\r\nContent-Length: {LARGE_BODY_SIZE}\r\nExpect: 100-continue\r\n"
        with self._connected(["http/1.1"]) as sock:
            sock.sendall(f"PATCH {path} HTTP/1.1\r\n{headers}\r\n".encode())
            with HTTPResponse(sock) as answer:
                answer.begin()
                return answer.status

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
        """An answer, whatever it says. Raises Failed where there is none."""
        # Whatever ~/.netrc holds for the host is not used as credentials here.
        more.setdefault("auth", lambda request: request)
        try:
            return requests.request(method, self._url + path, timeout=TIMEOUTS, allow_redirects=False, **more)
        except requests.RequestException as error:
            kind = "dns" if "NameResolutionError" in repr(error) else "connect"
            if isinstance(error, requests.exceptions.SSLError):
                kind = "tls"
            raise CheckFailed(f"{self._url} cannot be reached: {type(error).__name__}", REMEDIES[kind]) from None
