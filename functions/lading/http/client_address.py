"""The address of the client that sent a request, through as many trusted proxies as the settings count.

Each proxy appends the address that it was called from to X-Forwarded-For, so the entries that can be believed are the
last ones: with `hops` trusted proxies in front, the client is the entry at that position, counted from the right.
Whatever stands to the left of it came from the client, and may be forged. So may a header `X_Forwarded_For`, which WSGI
cannot tell from X-Forwarded-For and of which granian takes the last: a trusted proxy has to drop such names, as nginx
does by itself and Envoy with `headers_with_underscores_action: DROP_HEADER`.

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
"""Bits of an IPv6 address that count: any single client may use all addresses that begin with them (RFC 6177)."""

MAX_ENTRY: Final = 80
"""Characters of one entry that are looked at: more than an IPv6 address with brackets, zone and port has."""

_ENTRY: Final = re.compile(
    r"\[([^\[\]]*:[^\[\]]*)\](?::\d{1,5})?|([\d.]+)(?::\d{1,5})?|([^\[\]:]*:[^\[\]]*:[^\[\]]*)", re.ASCII
)
"""`[IPV6]` or `[IPV6]:PORT`, `IPV4` or `IPV4:PORT`, and IPv6 as it is."""


class ClientAddress(NamedTuple):
    """The address of a client.

    text     for logs: an IPv4 or IPv6 address in its canonical form, or "" where the connection has none
    network  the key of limits per address: the IPv4 address, or the IPv6 /64
    """

    text: str
    network: str


NO_ADDRESS: Final = ClientAddress("", "")
"""Of a request that came over no network: a Unix socket, or a test."""


def client_address(environ: "WSGIEnvironment", hops: int) -> ClientAddress:
    """Return the address of the client behind `hops` trusted proxies.

    Falls back to the peer of the connection where the header has fewer entries than `hops`, or no address at that
    position: the request did not come through all the proxies, and no part of the header can be believed.

    Args:
        environ: of the request (PEP 3333); a repeated header stands in it once, joined by commas.
        hops: proxies that are trusted; with 0 the header is not read.
    """
    if hops:
        # Only the entries from the right matter, however many a client has put to their left.
        entries = environ.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", hops)[-hops:]
        if len(entries) == hops and (found := _parse(entries[0])):
            return found
    return _parse(environ.get("REMOTE_ADDR") or "") or NO_ADDRESS


def _parse(text: str) -> ClientAddress | None:
    """Return the address in one entry, or None where there is none."""
    # Bounded before it is remembered: the cache must not keep what a client made large.
    return _address(text.strip()) if len(text) <= MAX_ENTRY else None


@lru_cache(maxsize=1024)
def _address(text: str) -> ClientAddress | None:
    """Return the address of one entry; its zone and port are left out."""
    found = _ENTRY.fullmatch(text)
    if not found:
        return None
    try:
        address = ip_address(next(filter(None, found.groups())))
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # Without its zone, which means something on the proxy's own machine alone.
        address = address.ipv4_mapped or IPv6Address(int(address))
    if isinstance(address, IPv4Address):
        return ClientAddress(str(address), str(address))
    return ClientAddress(str(address), str(IPv6Network((int(address), IPV6_PREFIX), strict=False)))
