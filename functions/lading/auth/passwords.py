"""Password verification: deliberately slow, in a time that reveals nothing, and bounded so that others can log in.

The result for a name, a password and the hash in the file is valid for as long as the file has that hash. So results
are cached, by a MAC under a key that only this process has. A caller that logged in recently needs no slot and, from
the same network, is not delayed by the failures of others; and the same wrong password costs nothing when repeated.
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
"""Concurrent password checks, those reserved for callers that logged in recently, and the maximum that wait."""

INVALID_TTL: Final = 600.0
"""Seconds for which a wrong password is cached."""

MAX_INVALID: Final = 10_000


class Passwords:
    """Verifies passwords against bcrypt hashes. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with empty caches."""
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        # Two caches: wrong passwords, of which a client can send any number, evict no valid ones.
        self._valid: TTLCache[bytes, None] = TTLCache(MAX_RECENT_LOGINS, RECENT_LOGIN_TTL, clock)
        self._invalid: TTLCache[bytes, None] = TTLCache(MAX_INVALID, INVALID_TTL, clock)
        self._bulkhead = Bulkhead(MAX_CHECKS, MAX_WAITING_CHECKS, reserved=RESERVED_CHECKS)
        self._recent = RecentLogins(clock)
        self._delay = LoginDelay(clock)

    def verify(self, user: str, password: str, users: Users, client: ClientAddress) -> bool:
        """Return whether `password` is the user's.

        Raises:
            RegistryError: TOO_MANY_LOGINS (429) within the delay after failed logins, UNAVAILABLE (503) if too many
                checks wait.
        """
        if len(password.encode()) > MAX_PASSWORD:
            return False
        hashed, network = users.hashes.get(user), client.network
        mac = hmac.digest(self._key, b"\0".join([hashed or b"", user.encode(), password.encode()]), "sha256")
        known = self._recent.contains(user, network)
        if seconds := self._delay.remaining(user, network, known):
            if known and self._delay.try_attempt(user, network) and self._cached(mac):
                return True
            raise too_many_logins(math.ceil(seconds))
        is_valid = self._cached(mac)
        if is_valid is None:
            with self._bulkhead.slot(network, known):
                # Other logins may have failed while this one waited.
                if seconds := self._delay.remaining(user, network, known):
                    raise too_many_logins(math.ceil(seconds))
                is_valid = check_password(password.encode(), hashed, users.cost)
                self._cache_result(mac, is_valid)
                if not is_valid:
                    self._delay.record_failure(user, network)
        if is_valid:
            self._recent.add(user, network)
            self._delay.record_success(user, network)
        return is_valid

    def _cached(self, mac: bytes) -> bool | None:
        with self._lock:
            return True if mac in self._valid else False if mac in self._invalid else None

    def _cache_result(self, mac: bytes, is_valid: bool) -> None:
        with self._lock:
            (self._valid if is_valid else self._invalid)[mac] = None


def check_password(password: bytes, hashed: bytes | None, cost: int) -> bool:
    """Return whether `hashed` is the hash of the password, with work of 2^cost whatever the hash's own cost.

    The work is the same for None, which stands for an unknown user. A hash of cost c takes 2^c, and
    2^c + 2^c + 2^(c+1) + … + 2^(cost-1) is 2^cost.
    """
    if hashed is None:
        bcrypt.checkpw(password, _dummy(cost))
        return False
    is_valid = bcrypt.checkpw(password, hashed)
    for extra in range(cost_of(hashed), cost):
        bcrypt.checkpw(password, _dummy(extra))
    return is_valid


def _dummy(cost: int) -> bytes:
    """Return a hash of this cost for which no password is known."""
    return f"$2b${cost:02}${'.' * 53}".encode()
