"""Robots: credentials of our own, for where none of Google's can be had.

A robot logs in as `robot+NAME` with a secret of 256 random bits that is shown once. Kept is its HMAC alone: a secret
that nobody can guess needs no slow hash, and whoever reads the store cannot log in with what is there.
"""

import hmac
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from lading.auth import patterns
from lading.auth.access import ON_REPOSITORIES, Action, Decision, Effect, RequiredPermission, allow_or_deny
from lading.auth.keys import KeyRing
from lading.auth.robot_cache import RobotCache
from lading.http.client_address import NO_ADDRESS, ClientAddress
from lading.registry.errors import UNAUTHORIZED, RegistryError
from lading.registry.retry import retry_on_conflict
from lading_storage.errors import Conflict, StorageError
from lading_storage.protocols import Create, Delete, MetadataStore, Replace
from lading_storage.records.core import Key, Robot

USER_PREFIX: Final = "robot+"
"""What the user name of a robot begins with. Nobody's address is a robot's name, since it has an `@`."""

ROBOT_PREFIX: Final = "lading_"
"""What a robot's secret begins with, so that scanners for leaked secrets know one."""

ACTIONS: Final = (Action.PULL, Action.PUSH)
"""What robots can be let do. Deleting is for people, and for programs that Google knows."""

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")


class RobotError(StorageError):
    """A robot that cannot be, or is not there; the message says why."""


@dataclass(frozen=True, slots=True)
class RobotCaller:
    """Caller by a robot's secret."""

    robot: Robot

    @property
    def principal(self) -> str:
        """See Caller.principal: as it logs in."""
        return USER_PREFIX + self.robot.id

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide."""
        if action not in ON_REPOSITORIES:
            return Decision(Effect.ALLOWED, "the robot is known")
        allowed = action.value in self.robot.actions and patterns.matches(self.robot.repositories, repository)
        may = f"{','.join(self.robot.actions)} on {' '.join(self.robot.repositories)}"
        return allow_or_deny(allowed, f"the robot may {may}")

    def readable_patterns(self) -> Sequence[str]:
        """See Caller.readable_patterns."""
        return self.robot.repositories if Action.PULL.value in self.robot.actions else ()


class Robots:
    """The robots of a registry."""

    def __init__(self, metadata: MetadataStore, keys: KeyRing, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep them in `metadata`, and their secrets under the robots' key of `keys`."""
        self._metadata = metadata
        self._keys = keys
        self._cache = RobotCache(self._find, clock)

    def identify(self, user: str, secret: str, client: ClientAddress = NO_ADDRESS) -> RobotCaller:
        """Return the robot with this secret, sent from `client`.

        A robot is read once a minute, not at each request, and guesses read the store now and then (RobotCache). A
        secret of 256 random bits is not found by guessing, so wrong ones do not delay the right one (LoginDelay).

        Raises UNAUTHORIZED, TOO_MANY_LOGINS (429), UNAVAILABLE (503), StorageError.
        """
        name = user.removeprefix(USER_PREFIX)
        if not _NAME.fullmatch(name):
            raise RegistryError(UNAUTHORIZED)
        mac = self._mac(name, secret)
        robot = self._cache.get(name, mac, lambda robot: _has_secret(robot, mac), client.network)
        if robot is None or _is_past(robot.expires):
            raise RegistryError(UNAUTHORIZED)
        return RobotCaller(robot)

    def required_permission(self, action: Action, repository: str) -> RequiredPermission:
        """See Authorizer.required_permission."""
        return RequiredPermission(action.value, f"repositories/{repository}")

    def caller_named(self, name: str) -> RobotCaller:
        """The caller that a robot is. Raises RobotError."""
        return RobotCaller(self._existing(name))

    def create(
        self, name: str, repositories: Sequence[str], actions: Sequence[str], owner: str, lifetime: timedelta | None
    ) -> str:
        """Make a robot; answers its secret, which is kept nowhere. Raises RobotError."""
        if not _NAME.fullmatch(name):
            raise RobotError(f"{name} is not a robot's name: lower-case letters, digits, `.`, `_` and `-`, at most 64")
        if not repositories or not all(patterns.is_pattern(pattern) for pattern in repositories):
            raise RobotError("--repositories are names, in which * stands for any text")
        if not actions or not {action.value for action in ACTIONS}.issuperset(actions):
            raise RobotError("--may is pull, push or pull,push")
        secret, now = _new_secret(), datetime.now(UTC)
        robot = Robot(
            id=name,
            mac=self._mac(name, secret),
            repositories=tuple(repositories),
            actions=tuple(action.value for action in ACTIONS if action.value in actions),
            owner=owner,
            created=now,
            expires=now + lifetime if lifetime else None,
        )
        try:
            self._metadata.commit([Create(robot)])
        except Conflict:
            raise RobotError(f"there is a robot {name} already") from None
        return secret

    def rotate(self, name: str, overlap: timedelta, lifetime: timedelta | None) -> str:
        """Give a robot a new secret, and answer it; the one before stays good for `overlap`. Raises RobotError.

        A robot that expires gets a new term of `lifetime`; None lets it live for ever. One that does not expire never
        will.
        """
        secret = _new_secret()
        retry_on_conflict(lambda: self._rotate(name, secret, overlap, lifetime))
        return secret

    def revoke(self, name: str) -> None:
        """End a robot. Raises RobotError."""
        retry_on_conflict(lambda: self._metadata.commit([Delete(self._existing(name))]))

    def all(self, limit: int = 10_000) -> list[Robot]:
        """The robots, by name."""
        return self._metadata.scan(Robot, limit=limit)

    def _rotate(self, name: str, secret: str, overlap: timedelta, life: timedelta | None) -> None:
        robot, now = self._existing(name), datetime.now(UTC)
        changed = replace(
            robot,
            mac=self._mac(name, secret),
            former_mac=robot.mac if overlap else "",
            former_until=now + overlap if overlap else None,
            expires=now + life if life and robot.expires else None,
        )
        self._metadata.commit([Replace(changed)])

    def _existing(self, name: str) -> Robot:
        robot = self._find(name) if _NAME.fullmatch(name) else None
        if robot is None:
            raise RobotError(f"there is no robot {name}")
        return robot

    def _find(self, name: str) -> Robot | None:
        key = Key(Robot, name)
        return self._metadata.read([key])[key]

    def _mac(self, name: str, secret: str) -> str:
        # The name is part of it: a record that is moved under another name is worth nothing.
        return hmac.digest(self._keys.robots, f"{name}\0{secret}".encode(), "sha256").hex()


def _has_secret(robot: Robot, mac: str) -> bool:
    """Return whether the secret that `mac` is of is the robot's, or still is."""
    current = hmac.compare_digest(mac, robot.mac)
    former = hmac.compare_digest(mac, robot.former_mac)
    return current or (former and not _is_past(robot.former_until))


def _new_secret() -> str:
    return ROBOT_PREFIX + secrets.token_urlsafe(32)


def _is_past(time: datetime | None) -> bool:
    return time is not None and time <= datetime.now(UTC)
