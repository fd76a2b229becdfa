"""The address of a client, with the number of trusted reverse proxies that the settings give.

Each proxy appends the address of its peer to X-Forwarded-For, so only the last entries can be trusted: with `hops`
trusted proxies, the client is the entry at that position, counted from the right. Entries to the left of it came from
the client, and may be forged. So may a header `X_Forwarded_For`, which WSGI does not distinguish from X-Forwarded-For
and of which granian takes the last: a trusted proxy must drop such names, as nginx does by default and Envoy with
`headers_with_underscores_action: DROP_HEADER`.

    peer of the connection    X-Forwarded-For                hops    the client
    192.0.2.9                 10.0.0.1 (forged)              0       192.0.2.9
    169.254.1.1               10.0.0.1 (forged), 192.0.2.9   1       192.0.2.9
    169.254.1.1               192.0.2.9, 203.0.113.80        2       192.0.2.9
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

IPV6_PREFIX: Final = 64
"""Bits of an IPv6 address that identify a client, which may use all addresses with this prefix (RFC 6177)."""

MAX_ENTRY: Final = 80
"""Maximum characters of an entry: more than an IPv6 address with brackets, zone and port has."""

_ENTRY: Final = re.compile(
    r"\[([^\[\]]*:[^\[\]]*)\](?::\d{1,5})?|([\d.]+)(?::\d{1,5})?|([^\[\]:]*:[^\[\]]*:[^\[\]]*)", re.ASCII
)
"""`[IPV6]` or `[IPV6]:PORT`, `IPV4` or `IPV4:PORT`, or plain IPv6."""


class ClientAddress(NamedTuple):
    """The address of a client.

    text     for logs: an IPv4 or IPv6 address in its canonical form, or "" where the connection has none
    network  the key of limits per address: the IPv4 address, or the IPv6 /64
    """

    text: str
    network: str


NO_ADDRESS: Final = ClientAddress("", "")
"""The address of a client without one: over a Unix socket, or in a test."""


def client_address(environ: "WSGIEnvironment", hops: int) -> ClientAddress:
    """Return the address of the client of a request.

    Falls back to the peer of the connection where the header has fewer entries than `hops`, or no address at that
    position: the request did not pass all the proxies, and no part of the header can be trusted.

    Args:
        environ: the WSGI environment (PEP 3333), in which repeated headers are joined by commas.
        hops: the number of trusted proxies; with 0 the header is ignored.
    """
    if hops:
        # Only the last entries count, however many a client has put to their left.
        entries = environ.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", hops)[-hops:]
        if len(entries) == hops and (address := _parse(entries[0])):
            return address
    return _parse(environ.get("REMOTE_ADDR") or "") or NO_ADDRESS


def _parse(text: str) -> ClientAddress | None:
    """Return the address in an entry, or None."""
    # The length is checked before the cache, which must not hold large texts of clients.
    return _address(text.strip()) if len(text) <= MAX_ENTRY else None


@lru_cache(maxsize=1024)
def _address(text: str) -> ClientAddress | None:
    """Return the address in an entry, without zone and port, or None."""
    match = _ENTRY.fullmatch(text)
    if not match:
        return None
    try:
        address = ip_address(next(filter(None, match.groups())))
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # The zone is dropped: it has a meaning only on the proxy's own machine.
        address = address.ipv4_mapped or IPv6Address(int(address))
    if isinstance(address, IPv4Address):
        return ClientAddress(str(address), str(address))
    return ClientAddress(str(address), str(IPv6Network((int(address), IPV6_PREFIX), strict=False)))
