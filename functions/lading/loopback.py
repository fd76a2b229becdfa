"""Which hosts mean this machine alone."""

from functools import lru_cache
from ipaddress import ip_address
from typing import Final

CONTAINER_HOSTS: Final = frozenset(
    f"host.{each}.internal" for each in ("docker", "containers", "minikube", "k3d", "lima", "rancher-desktop")
)
"""Names by which containers reach the loopback of their machine: no page can have them, `.internal` is private."""


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Return whether `host`, a name or an address, is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
