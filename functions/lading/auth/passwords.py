"""Checks of passwords: slow on purpose, in a time that tells nothing, and never so many that others cannot log in.

What was said of a name, a password and the hash in the file holds for as long as that hash stands there. So it is
remembered, as a MAC under a key that this process alone has: a caller that logged in lately needs no place, and is not
delayed from the same network, whatever others do; and the same wrong password, sent again and again, costs nothing.
"""

import hmac
import math
import secrets
import threading
import time
from collections.abc import Callable
from typing import Final

import bcrypt
from cachetools import TTLCache

from lading.auth.access_files import MAX_PASSWORD, Users, cost_of
from lading.auth.bulkhead import Bulkhead
from lading.auth.login_delay import LoginDelay
from lading.auth.recent_logins import MAX_RECENT_LOGINS, RECENT_LOGIN_TTL, RecentLogins
from lading.http.client_address import ClientAddress
from lading.registry.errors import too_many_logins

MAX_CHECKS: Final = 3
RESERVED_CHECKS: Final = 1
MAX_WAITING_CHECKS: Final = 16
"""Passwords that are checked at a time, places of those for callers that logged in lately, and how many may wait."""

INVALID_TTL: Final = 600.0
"""Seconds that a wrong password is remembered for."""

MAX_INVALID: Final = 10_000


class Passwords:
    """Checks passwords against hashes by bcrypt. Any thread may use it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Remember nothing yet."""
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        # Two memories: wrong passwords, of which anyone can send any number, displace no right ones.
        self._valid: TTLCache[bytes, None] = TTLCache(MAX_RECENT_LOGINS, RECENT_LOGIN_TTL, clock)
        self._invalid: TTLCache[bytes, None] = TTLCache(MAX_INVALID, INVALID_TTL, clock)
        self._bulkhead = Bulkhead(MAX_CHECKS, MAX_WAITING_CHECKS, reserved=RESERVED_CHECKS)
        self._recent = RecentLogins(clock)
        self._delay = LoginDelay(clock)

    def verify(self, user: str, password: str, users: Users, client: ClientAddress) -> bool:
        """Return whether this is the password of a user.

        Raises TOO_MANY_LOGINS (429) within the delay after failed logins, and UNAVAILABLE (503) where too many wait.
        """
        if len(password.encode()) > MAX_PASSWORD:
            return False
        hashed, network = users.hashes.get(user), client.network
        mac = hmac.digest(self._key, b"\0".join([hashed or b"", user.encode(), password.encode()]), "sha256")
        known = self._recent.knows(user, network)
        if seconds := self._delay.remaining(user, network, known):
            if known and self._delay.may_try(user, network) and self._cached(mac):
                return True
            raise too_many_logins(math.ceil(seconds))
        remembered = self._cached(mac)
        if remembered is None:
            with self._bulkhead.slot(network, known):
                # Others may have failed while this one waited.
                if seconds := self._delay.remaining(user, network, known):
                    raise too_many_logins(math.ceil(seconds))
                remembered = check_password(password.encode(), hashed, users.cost)
                self._cache_result(mac, remembered)
                if not remembered:
                    self._delay.failed(user, network)
        if remembered:
            self._recent.add(user, network)
            self._delay.succeeded(user, network)
        return remembered

    def _cached(self, mac: bytes) -> bool | None:
        with self._lock:
            return True if mac in self._valid else False if mac in self._invalid else None

    def _cache_result(self, mac: bytes, right: bool) -> None:
        with self._lock:
            (self._valid if right else self._invalid)[mac] = None


def check_password(password: bytes, hashed: bytes | None, cost: int) -> bool:
    """Return whether `hashed` is the password's, by work that is 2^cost whatever the hash costs, or None is given.

    A hash of the cost c is 2^c; 2^c + 2^c + 2^(c+1) + … + 2^(cost-1) is 2^cost.
    """
    if hashed is None:
        bcrypt.checkpw(password, _dummy(cost))
        return False
    right = bcrypt.checkpw(password, hashed)
    for extra in range(cost_of(hashed), cost):
        bcrypt.checkpw(password, _dummy(extra))
    return right


def _dummy(cost: int) -> bytes:
    """Return a hash of that cost which no password is known to have."""
    return f"$2b${cost:02}${'.' * 53}".encode()
