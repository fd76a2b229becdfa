"""Checks of a request before it is routed: its Host, and whether a web page of another site has sent it.

With `--access everybody` nothing but the Host tells this machine's own programs from a web page that has made its own
name resolve to 127.0.0.1 (DNS rebinding), and a browser sends a simple POST of any page without asking first (CSRF).
A browser also adds credentials that it remembers to the latter, so writes are checked with every kind of access.

Of header names with underscores, which WSGI cannot tell from those with hyphens (PEP 3333, CGI's rule), gunicorn and
werkzeug drop the header. granian does not, and nothing here can see it any more: a proxy that is trusted has to drop
them (`lading doctor` looks whether it does). No header that is checked here can be forged in that way by a web page.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from lading.registry.errors import DENIED, HOST_INVALID, RegistryError
from lading.settings import Settings, is_loopback

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})

TRUSTED_SITES: Final = frozenset({"", "same-origin", "none"})
"""Values of Sec-Fetch-Site that no other site can cause; programs that are no browsers send none (Fetch Metadata)."""

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

MAX_HOST: Final = 260
"""Characters of a Host header: a name of 253, a colon and a port are 259."""

_HOST: Final = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?", re.ASCII)
"""A Host header (RFC 9110, section 7.2): no user, no comma, which joins two headers of one name."""

FOREIGN_HOST: Final = (
    "with --access everybody the registry is reached as localhost, 127.0.0.1 or [::1], not as {host}, since any web"
    " page can make a name mean this machine; where containers reach it by a name of their host, start it with --url"
    " http://NAME:PORT (such as host.docker.internal), else with --access users"
)
FOREIGN_SITE: Final = "a web page of another site cannot write: the request's {header} is not that of the registry"


class RequestChecks:
    """What is refused whatever is asked for."""

    def __init__(self, settings: Settings) -> None:
        """Take the registry's own host from the settings."""
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
        # Bounded before it is remembered: the cache must not keep what a client made large.
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
        """Return whether a page of `origin` is the registry's own: of --url, or of the Host that was asked."""
        try:
            asked, page = urlsplit(f"//{host}"), urlsplit(origin)
            if page.scheme not in DEFAULT_PORTS or not page.hostname:
                return False
            # TLS may end at a proxy, so the scheme of this connection says nothing.
            own = (_address(self._own, self._own.scheme), _address(asked, page.scheme))
            return _address(page, page.scheme) in own
        except ValueError:
            return False


@lru_cache(maxsize=256)
def host_name(host: str) -> str:
    """Return the name or address in a Host header, in lower case and without brackets, or "" where it is not one."""
    found = _HOST.fullmatch(host)
    if not found or int(found[2] or 0) > 65535:
        return ""
    return found[1].strip("[]").lower()


def _address(parts: SplitResult, scheme: str) -> tuple[str | None, int | None]:
    return parts.hostname, parts.port or DEFAULT_PORTS.get(scheme)
