"""Checks of a request before it is routed: its Host, and whether it is a cross-site request of a web page.

With `--access everybody` only the Host distinguishes local programs from a web page whose own name resolves to
127.0.0.1 (DNS rebinding), and a browser sends a simple POST of any page without a preflight request (CSRF). To the
latter a browser also adds credentials that it has stored, so writes are checked with every kind of access.

WSGI does not distinguish header names with underscores from those with hyphens (PEP 3333, CGI's rule). gunicorn and
werkzeug drop headers with underscores; granian does not, and they cannot be recognized here. So a trusted proxy must
drop them (`lading doctor` checks that). A web page cannot forge the headers that are checked here in that way.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from lading.loopback import is_loopback
from lading.registry.errors import DENIED, HOST_INVALID, RegistryError
from lading.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})

TRUSTED_SITES: Final = frozenset({"", "same-origin", "none"})
"""Values of Sec-Fetch-Site that no other site can cause; programs other than browsers send none (Fetch Metadata)."""

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

MAX_HOST: Final = 260
"""Maximum characters of a Host header: a name of 253, a colon and a port have 259."""

_HOST: Final = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?", re.ASCII)
"""A Host header (RFC 9110, section 7.2): no user, and no comma, by which repeated headers are joined."""

FOREIGN_HOST: Final = (
    "with --access everybody the registry is reached as localhost, 127.0.0.1 or [::1], not as {host}, since any web"
    " page can make a name resolve to this machine; where containers reach it by a name of their host, start it with"
    " --url http://NAME:PORT (such as host.docker.internal), else with --access users"
)
FOREIGN_SITE: Final = "a web page of another site cannot write: the request's {header} is not that of the registry"


class RequestChecks:
    """The checks that apply to all requests."""

    def __init__(self, settings: Settings) -> None:
        """Take the registry's own host, and the trusted origins, from the settings."""
        self._own = urlsplit(settings.url)
        self._own_name = self._own.hostname
        self._loopback_only = settings.access == "everybody"
        self._trusted_origins = settings.cors_origins

    def check(self, environ: "WSGIEnvironment") -> None:
        """Check one request.

        Raises:
            RegistryError: HOST_INVALID (400) unless there is exactly one valid Host, whatever the version of HTTP;
                DENIED (403) where the Host or the site that sent the request is a foreign one.
        """
        host = environ.get("HTTP_HOST", "")
        # The length is checked before the cache, which must not hold large texts of clients.
        name = host_name(host) if len(host) <= MAX_HOST else ""
        if not name:
            raise RegistryError(HOST_INVALID)
        if self._loopback_only and not is_loopback(name) and name != self._own_name:
            raise RegistryError(DENIED._replace(message=FOREIGN_HOST.format(host=name)))
        if environ["REQUEST_METHOD"] in WRITES:
            self._check_site(environ, host)

    def _check_site(self, environ: "WSGIEnvironment", host: str) -> None:
        if environ.get("HTTP_ORIGIN") in self._trusted_origins:
            return
        if environ.get("HTTP_SEC_FETCH_SITE", "") not in TRUSTED_SITES:
            raise RegistryError(DENIED._replace(message=FOREIGN_SITE.format(header="Sec-Fetch-Site")))
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and not self._is_own(origin, host):
            raise RegistryError(DENIED._replace(message=FOREIGN_SITE.format(header="Origin")))

    def _is_own(self, origin: str, host: str) -> bool:
        """Return whether `origin` is the registry's own: that of --url, or of the request's Host."""
        try:
            requested, page = urlsplit(f"//{host}"), urlsplit(origin)
            if page.scheme not in DEFAULT_PORTS or not page.hostname:
                return False
            # A proxy may terminate TLS, so the scheme of this connection is not significant.
            own = (_address(self._own, self._own.scheme), _address(requested, page.scheme))
            return _address(page, page.scheme) in own
        except ValueError:
            return False


@lru_cache(maxsize=256)
def host_name(host: str) -> str:
    """Return the name or address in a Host header, in lower case and without brackets, or "" where it is invalid."""
    match = _HOST.fullmatch(host)
    if not match or int(match[2] or 0) > 65535:
        return ""
    return match[1].strip("[]").lower()


def _address(parts: SplitResult, scheme: str) -> tuple[str | None, int | None]:
    return parts.hostname, parts.port or DEFAULT_PORTS.get(scheme)
