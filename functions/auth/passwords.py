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

from functions.auth.access_files import MAX_PASSWORD, Users, cost_of
from functions.auth.bulkhead import Bulkhead
from functions.auth.login_delay import LoginDelay
from functions.auth.recent_logins import MAX_RECENT_LOGINS, RECENT_LOGIN_TTL, RecentLogins
from functions.client_address import ClientAddress
from functions.registry.errors import logins_too_many

MAX_CHECKS: Final = 3
RESERVED_CHECKS: Final = 1
MAX_WAITING_CHECKS: Final = 16
"""Passwords that are checked at a time, places of those for callers that logged in lately, and how many may wait."""

WRONG_TTL: Final = 600.0
"""Seconds that a wrong password is remembered for."""

MAX_WRONG: Final = 10_000


class Passwords:
    """Checks passwords against hashes by bcrypt. Any thread may use it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Remember nothing yet."""
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        # Two memories: wrong passwords, of which anyone can send any number, displace no right ones.
        self._right: TTLCache[bytes, None] = TTLCache(MAX_RECENT_LOGINS, RECENT_LOGIN_TTL, clock)
        self._wrong: TTLCache[bytes, None] = TTLCache(MAX_WRONG, WRONG_TTL, clock)
        self._bulkhead = Bulkhead(MAX_CHECKS, MAX_WAITING_CHECKS, reserved=RESERVED_CHECKS)
        self._recent = RecentLogins(clock)
        self._delay = LoginDelay(clock)

    def are_right(self, user: str, password: str, users: Users, client: ClientAddress) -> bool:
        """Return whether this is the password of a user.

        Raises LOGINS_TOO_MANY (429) within the delay after failed logins, and UNAVAILABLE (503) where too many wait.
        """
        if len(password.encode()) > MAX_PASSWORD:
            return False
        hashed, network = users.hashes.get(user), client.network
        mac = hmac.digest(self._key, b"\0".join([hashed or b"", user.encode(), password.encode()]), "sha256")
        known = self._recent.knows(user, network)
        if seconds := self._delay.left(user, network, known):
            if known and self._delay.may_try(user, network) and self._remembered(mac):
                return True
            raise logins_too_many(math.ceil(seconds))
        remembered = self._remembered(mac)
        if remembered is None:
            with self._bulkhead.place(network, known):
                # Others may have failed while this one waited.
                if seconds := self._delay.left(user, network, known):
                    raise logins_too_many(math.ceil(seconds))
                remembered = check(password.encode(), hashed, users.cost)
                self._remember(mac, remembered)
                if not remembered:
                    self._delay.failed(user, network)
        if remembered:
            self._recent.add(user, network)
            self._delay.succeeded(user, network)
        return remembered

    def _remembered(self, mac: bytes) -> bool | None:
        with self._lock:
            return True if mac in self._right else False if mac in self._wrong else None

    def _remember(self, mac: bytes, right: bool) -> None:
        with self._lock:
            (self._right if right else self._wrong)[mac] = None


def check(password: bytes, hashed: bytes | None, cost: int) -> bool:
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
