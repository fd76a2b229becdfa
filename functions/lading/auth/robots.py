"""Robots: credentials that the registry issues, for clients without Google credentials.

A robot logs in as `robot+NAME` with a secret of 256 random bits that is shown once. Only its HMAC is stored: a secret
that cannot be guessed needs no slow hash, and read access to the store does not allow a login.
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
from lading.auth.access import RIGHTS, Action, Decision, Effect, RequiredPermission, allow_or_deny
from lading.auth.keys import KeyRing
from lading.auth.robot_cache import RobotCache
from lading.http.client_address import NO_ADDRESS, ClientAddress
from lading.registry.errors import UNAUTHORIZED, RegistryError
from lading.registry.retry import retry_on_conflict
from lading_storage.errors import Conflict, StorageError
from lading_storage.protocols import Create, Delete, MetadataStore, Replace
from lading_storage.query import Query
from lading_storage.records.core import Key
from lading_storage.records.robots import Robot

USER_PREFIX: Final = "robot+"
"""Prefix of a robot's user name. An e-mail address is never a robot's name, since it has an `@`."""

ROBOT_PREFIX: Final = "lading_"
"""Prefix of a robot's secret, so that scanners for leaked secrets detect it."""

ACTIONS: Final = (Action.PULL, Action.PUSH)
"""Actions that robots can be granted. DELETE is reserved for people and service accounts."""

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")


class RobotError(StorageError):
    """A robot is invalid, or does not exist; the message says why."""


@dataclass(frozen=True, slots=True)
class RobotCaller:
    """Caller authenticated by a robot's secret."""

    robot: Robot

    @property
    def principal(self) -> str:
        """See Caller.principal: the user name of its login."""
        return USER_PREFIX + self.robot.id

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide."""
        if action not in RIGHTS:
            return Decision(Effect.ALLOWED, "the robot is known")
        allowed = action.value in self.robot.actions and patterns.matches(self.robot.repositories, repository)
        actions, repositories = ",".join(self.robot.actions), " ".join(self.robot.repositories)
        return allow_or_deny(allowed, f"the robot may {actions} on {repositories}")

    def readable_patterns(self) -> Sequence[str]:
        """See Caller.readable_patterns."""
        return self.robot.repositories if Action.PULL.value in self.robot.actions else ()


class Robots:
    """The robots of a registry."""

    def __init__(self, metadata: MetadataStore, keys: KeyRing, clock: Callable[[], float] = time.monotonic) -> None:
        """Store robots in `metadata`, with HMACs of their secrets under the robots' key of `keys`."""
        self._metadata = metadata
        self._keys = keys
        self._cache = RobotCache(self._find, clock)

    def identify(self, user: str, secret: str, client: ClientAddress = NO_ADDRESS) -> RobotCaller:
        """Return the robot with this secret, sent from `client`.

        A robot is read once a minute, not at each request, and reads for guesses are rate limited (RobotCache). 256
        random bits cannot be guessed, so wrong secrets do not delay a login (LoginDelay).

        Raises UNAUTHORIZED, TOO_MANY_LOGINS (429), UNAVAILABLE (503), StorageError.
        """
        name = user.removeprefix(USER_PREFIX)
        if not _NAME.fullmatch(name):
            raise RegistryError(UNAUTHORIZED)
        mac = self._mac(name, secret)
        robot = self._cache.get(name, mac, lambda robot: _has_secret(robot, mac), client.network)
        if robot is None or _has_passed(robot.expires):
            raise RegistryError(UNAUTHORIZED)
        return RobotCaller(robot)

    def required_permission(self, action: Action, repository: str) -> RequiredPermission:
        """See Authorizer.required_permission."""
        return RequiredPermission(action.value, f"repositories/{repository}")

    def caller_named(self, name: str) -> RobotCaller:
        """Return the caller that stands for a robot. Raises RobotError if there is none."""
        return RobotCaller(self._existing(name))

    def create(
        self, name: str, repositories: Sequence[str], actions: Sequence[str], owner: str, lifetime: timedelta | None
    ) -> str:
        """Create a robot and return its secret, which is not stored.

        Args:
            name: its id.
            repositories: patterns.
            actions: of ACTIONS, by value.
            owner: principal that creates it.
            lifetime: until it expires; None for never.

        Raises:
            RobotError: an argument is invalid, or the robot exists.
        """
        if not _NAME.fullmatch(name):
            raise RobotError(f"{name} is not a robot's name: use at most 64 lower-case letters, digits, `.`, `_`, `-`")
        if not repositories or not all(patterns.is_pattern(pattern) for pattern in repositories):
            raise RobotError("--repositories must be repository names, in which * matches any text")
        if not actions or not {action.value for action in ACTIONS}.issuperset(actions):
            raise RobotError("--may must be pull, push or pull,push")
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
            raise RobotError(f"robot {name} already exists") from None
        return secret

    def rotate(self, name: str, overlap: timedelta, lifetime: timedelta | None) -> str:
        """Give a robot a new secret and return it. Raises RobotError if the robot does not exist.

        Args:
            name: of the robot.
            overlap: how long the previous secret remains valid.
            lifetime: from now until the robot expires; None for never. Ignored if the robot does not expire.
        """
        secret = _new_secret()
        retry_on_conflict(lambda: self._rotate(name, secret, overlap, lifetime))
        return secret

    def revoke(self, name: str) -> None:
        """Delete a robot. Raises RobotError if it does not exist."""
        retry_on_conflict(lambda: self._metadata.commit([Delete(self._existing(name))]))

    def all(self, limit: int = 10_000) -> list[Robot]:
        """Return the robots, sorted by name."""
        return self._metadata.find(Query(Robot, limit=limit))

    def _rotate(self, name: str, secret: str, overlap: timedelta, lifetime: timedelta | None) -> None:
        robot, now = self._existing(name), datetime.now(UTC)
        changed = replace(
            robot,
            mac=self._mac(name, secret),
            former_mac=robot.mac if overlap else "",
            former_until=now + overlap if overlap else None,
            expires=now + lifetime if lifetime and robot.expires else None,
        )
        self._metadata.commit([Replace(changed)])

    def _existing(self, name: str) -> Robot:
        robot = self._find(name) if _NAME.fullmatch(name) else None
        if robot is None:
            raise RobotError(f"there is no robot {name}; `lading robots list` shows all robots")
        return robot

    def _find(self, name: str) -> Robot | None:
        key = Key(Robot, name)
        return self._metadata.read([key])[key]

    def _mac(self, name: str, secret: str) -> str:
        # The name is part of the message, so that a record copied to another name is useless.
        return hmac.digest(self._keys.robots, f"{name}\0{secret}".encode(), "sha256").hex()


def _has_secret(robot: Robot, mac: str) -> bool:
    """Return whether `mac` is the MAC of the robot's current secret, or of the former one within its overlap."""
    current = hmac.compare_digest(mac, robot.mac)
    former = hmac.compare_digest(mac, robot.former_mac)
    return current or (former and not _has_passed(robot.former_until))


def _new_secret() -> str:
    return ROBOT_PREFIX + secrets.token_urlsafe(32)


def _has_passed(time: datetime | None) -> bool:
    return time is not None and time <= datetime.now(UTC)
