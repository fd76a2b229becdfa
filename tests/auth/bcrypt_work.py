"""The work of bcrypt, counted and stopped: no test measures its time."""

import threading
from collections.abc import Callable

import bcrypt
import pytest

from tests.auth.concurrent_callers import TIMEOUT


class BcryptWork:
    """Counts what checks of passwords cost, in units of 2^cost, and lets passwords that are named wait.

    stopped  passwords whose check waits until `go_on` is set
    begun    checks that have begun
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.units = 0
        self.checks = 0
        self.stopped: Callable[[bytes], bool] = lambda password: False
        self.go_on = threading.Event()
        self._lock = threading.Lock()
        self._check = bcrypt.checkpw
        monkeypatch.setattr(bcrypt, "checkpw", self._counted)

    def _counted(self, password: bytes, hashed: bytes) -> bool:
        with self._lock:
            self.units += 2 ** int(hashed[4:6])
            self.checks += 1
        if self.stopped(password):
            assert self.go_on.wait(TIMEOUT)
        return self._check(password, hashed)

    def spent(self) -> int:
        """Return the units since the last time."""
        units, self.units = self.units, 0
        return units
