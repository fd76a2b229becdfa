"""Addresses that the registry may connect to for others: the URL of a webhook is a user's, but the network is ours.

    URL ──parse_url──▶ Target ──Addresses.resolve──▶ addresses that may be used ──▶ outbound.Outbound connects to one

A name is resolved once, and the connection is made to an address that was checked, never to the name: what the name
resolves to later cannot matter (DNS rebinding). Every address that is not of the public internet is refused, unless a
network of the configuration contains it.

https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html
"""

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL: Final = 2_000
"""Characters of a URL."""

MAX_ADDRESSES: Final = 3
"""Addresses of a name that are tried, one after another."""

PORTS: Final = frozenset((80, 443))
MIN_PORT: Final = 1024
"""Ports that may be used: these two, and those from MIN_PORT. Below, other services than HTTP listen, such as SMTP."""

_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[a-z0-9._~!$&'()*+,;=:@%/-]*)?(?P<query>\?[a-z0-9._~!$&'()*+,;=:@%/?-]*)?",
    re.ASCII | re.IGNORECASE,
)
"""The URLs that every parser reads alike (RFC 3986), without user, password and fragment."""

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
"""A last label that makes a host an IPv4 address (WHATWG URL, "ends in a number")."""

PUBLIC_IPV6: Final = ip_network("2000::/3")
"""What is allocated as global unicast. It contains neither IPv4-mapped addresses nor those of NAT64 (64:ff9b::/96)."""

SPECIAL: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this host, RFC 791
            "10.0.0.0/8",  # private, RFC 1918
            "100.64.0.0/10",  # shared by a provider's customers, RFC 6598
            "127.0.0.0/8",  # loopback, RFC 1122
            "168.63.129.16/32",  # Azure's WireServer: an address of the public internet that means each machine's host
            "169.254.0.0/16",  # link-local, RFC 3927: also the metadata servers of clouds
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments, RFC 6890
            "192.0.2.0/24",  # documentation, RFC 5737
            "192.88.99.0/24",  # relays of 6to4, RFC 7526
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks, RFC 2544
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast, RFC 5771
            "240.0.0.0/4",  # reserved, RFC 1112, and broadcast
            "2001::/23",  # protocol assignments, RFC 2928: Teredo, which contains IPv4 addresses, and others
            "2001:db8::/32",  # documentation, RFC 3849
            "2002::/16",  # 6to4, which contains IPv4 addresses, RFC 3056
            "3fff::/20",  # documentation, RFC 9637
        ),
    )
)
"""Networks that are not of the public internet (IANA's special-purpose address registries, and Azure's WireServer).

Not `is_global` of Python, which differs between its releases and counts multicast and 6to4 as global.
"""


class AddressError(Exception):
    """The registry does not connect; the message is a sentence that says why, without the path of the URL."""


class AddressRefused(AddressError):
    """The URL is not valid, or the registry may not connect to the address."""


class Unresolvable(AddressError):
    """The name has no address, at least at present."""


@dataclass(frozen=True, slots=True)
class Target:
    """Parsed URL.

    Attributes:
        scheme: http or https.
        host: name or address, in lower case, without brackets.
        port: the TCP port.
        path: path and query, as sent.
        authority: host and port as the header Host has them.
    """

    scheme: str
    host: str
    port: int
    path: str
    authority: str

    @property
    def origin(self) -> str:
        """The URL without path and query, which can be secrets."""
        return f"{self.scheme}://{self.authority}"


Resolve = Callable[[str, int], Sequence[Address]]
"""Returns the addresses of a name. Raises OSError, UnicodeError."""


def parse_url(url: str) -> Target:
    """Parse the URL of another service. Raises AddressRefused, without the URL in its message."""
    found = _URL.fullmatch(url) if len(url) <= MAX_URL else None
    if found is None:
        raise AddressRefused(
            f"a URL is http(s)://HOST[:PORT][/PATH][?QUERY] of at most {MAX_URL} ASCII characters (xn--… for a host of"
            " other letters), without user, password and fragment"
        )
    scheme, host = found["scheme"].lower(), found["host"].lower()
    default = 443 if scheme == "https" else 80
    port = int(found["port"] or default)
    if not (port in PORTS or MIN_PORT <= port <= 65535):
        raise AddressRefused(f"port {port} is not used: ports are 80, 443, and those from {MIN_PORT} to 65535")
    authority = host if port == default else f"{host}:{port}"
    return Target(scheme, _checked_host(host), port, (found["path"] or "/") + (found["query"] or ""), authority)


class Addresses:
    """Decides which addresses the registry may connect to for others. Thread-safe."""

    def __init__(self, allowed: Sequence[Network] = (), resolve: Resolve | None = None) -> None:
        """Allow the public internet, and the networks `allowed`.

        Args:
            allowed: further networks.
            resolve: resolves a name; by default the system's resolver does.
        """
        self._allowed = tuple(allowed)
        self._resolve = resolve or resolve_name

    def resolve(self, target: Target) -> Sequence[Address]:
        """Resolve the host of a target, once; return the addresses to connect to, at most MAX_ADDRESSES.

        Raises:
            AddressRefused: none of its addresses may be used.
            Unresolvable: it has no address.
        """
        try:
            found = list(dict.fromkeys(self._resolve(target.host, target.port)))
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "the name is not valid"
            raise Unresolvable(f"{target.host} cannot be resolved: {reason}") from None
        if not found:
            raise Unresolvable(f"{target.host} cannot be resolved: it has no address")
        if usable := [each for each in found if self.is_allowed(each)]:
            return usable[:MAX_ADDRESSES]
        resolved = "the host is " if str(found[0]) == target.host else f"{target.host} resolves to "
        raise AddressRefused(
            f"{resolved}{found[0]}, which is no address of the public internet: if it is meant, allow its network with"
            " the setting webhook-networks"
        )

    def is_allowed(self, address: Address) -> bool:
        """Return whether the registry may connect to an address."""
        return is_public(address) or any(address in network for network in self._allowed)


def is_public(address: Address) -> bool:
    """Return whether an address is of the public internet."""
    if isinstance(address, IPv6Address) and (address not in PUBLIC_IPV6 or address.scope_id):
        return False
    return not any(address in network for network in SPECIAL)


def resolve_name(host: str, port: int) -> Sequence[Address]:
    """Return the addresses of a name by the system's resolver, in its order of preference. See Resolve."""
    found: list[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(socket_address[0]) for *_, socket_address in found]


def _checked_host(host: str) -> str:
    """Return a host without brackets. Raises AddressRefused where resolvers differ in what it is."""
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError:
            raise AddressRefused("the URL has no valid IPv6 address in its brackets") from None
    labels = host.removesuffix(".").split(".")
    if _NUMERIC.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise AddressRefused(
                f"{host} is no IPv4 address of four decimal numbers, as in 192.0.2.1, and no name either"
            ) from None
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressRefused(f"{host} is no valid host name")
    return host
