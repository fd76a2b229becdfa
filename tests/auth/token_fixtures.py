"""A user with grants, and the tokens that it is issued."""

import time
from collections.abc import Callable
from typing import Any

from lading.auth.keys import KeyRing, Keys, SigningKey
from lading.auth.scopes import CATALOG, repository
from lading.auth.tokens import Tokens
from tests.support.fake_iam_world import SERVICE, URL

KEY = SigningKey("k1", b"k" * 64)
RING = KeyRing(lambda: Keys((KEY,), b"r" * 32))
GRANTED = [repository("team/app", ["pull", "push"]), CATALOG]


class Alice:
    principal = "alice@example.com"

    def decide(self, action: Any, repository: str) -> Any:
        raise AssertionError("a token asks nobody")

    def readable_patterns(self) -> list[str]:
        return ["team", "team/*"]


def tokens(clock: Callable[[], float] = time.time, ring: KeyRing = RING) -> Tokens:
    return Tokens(ring, URL, SERVICE, ["public/*"], clock)
