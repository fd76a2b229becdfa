"""Callers by two files, where no Google is: who there is, and what each may do.

users.htpasswd, as `htpasswd -B` writes it (bcrypt alone), or `lading users`:

    alice:$2y$10$…

grants.txt, a line for each grant; all that match are added up:

    # who                repositories   may
    alice                team-a/*       pull,push
    bob@example.com      team-a/*       pull
    *                    shared/*       pull

`*` is every user of the first file. An address, or one of Google's numbers, is whoever comes with one of Google's ID
tokens for it, which anybody in the world can have made for this registry: so `*` does not stand for those. Both files
are read again when they change; one that then cannot be read changes nothing.
"""

import logging
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final, Generic, TypeVar

import bcrypt

from functions.auth import patterns
from functions.auth.access import ON_REPOSITORIES, Action, Decision, Needed, Verdict, decided
from functions.auth.bulkhead import Bulkhead
from functions.auth.cache import Answers
from functions.auth.credentials import TOKEN_USERS
from functions.auth.id_tokens import IdTokens
from functions.client_address import NO_ADDRESS, ClientAddress
from functions.registry.errors import UNAUTHORIZED, RegistryError
from storage.errors import StorageError

T = TypeVar("T")

LONGEST: Final = 72
"""Bytes of a password: bcrypt looks at no more, so more would be a promise that it does not keep."""

AT_ONCE: Final = 2
WAITING: Final = 16
"""Passwords that are checked at a time, and that may wait: each check is meant to be slow."""

COST: Final = 10
"""Of new passwords, as the exponent of 2; some 50 ms."""

_HASH: Final = re.compile(r"\$2[aby]\$(?:0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")

log = logging.getLogger("lading")


class FileInvalid(StorageError):
    """A file of users or grants that cannot be used; the message says where, and why."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A line of the grants."""

    line: int
    who: str
    repositories: str
    may: frozenset[Action]

    def __str__(self) -> str:
        may = ",".join(action.value for action in ON_REPOSITORIES if action in self.may)
        return f"line {self.line} of the grants: {self.who} {self.repositories} {may}"


def read_users(text: str) -> dict[str, bytes]:
    """The hash of each user's password. Raises FileInvalid."""
    users = {}
    for number, line in _lines(text):
        user, colon, hashed = line.partition(":")
        if not user or not colon or not _HASH.fullmatch(hashed):
            raise FileInvalid(f"line {number} of the users is not NAME:HASH, with a hash by bcrypt (htpasswd -B)")
        users[user] = hashed.encode()
    return users


def read_grants(text: str) -> tuple[Grant, ...]:
    """The grants. Raises FileInvalid."""
    return tuple(_grant(number, line) for number, line in _lines(text))


def hash_password(password: str) -> str:
    """What stands in the file for a password. Raises FileInvalid where bcrypt could not tell it from others."""
    if not 0 < len(password.encode()) <= LONGEST:
        raise FileInvalid(f"a password has from 1 to {LONGEST} bytes")
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode()


class LocalAuthorizer:
    """Authorizer by two files."""

    def __init__(self, users: Path, grants: Path, id_tokens: IdTokens) -> None:
        """Read both files, of which either may be absent. Raises FileInvalid."""
        self._users = _Watched(users, read_users)
        self._grants = _Watched(grants, read_grants)
        self._id_tokens = id_tokens
        self._checked: Answers[bytes, bool] = Answers(bool)
        self._bulkhead = Bulkhead(AT_ONCE, WAITING)

    def identify(self, user: str, secret: str, client: ClientAddress = NO_ADDRESS) -> "LocalCaller":
        """See Authorizer.identify: a user with a password, or one of Google's ID tokens."""
        if TOKEN_USERS.fullmatch(user):
            return self.named(self._id_tokens.name(secret))
        hashed = self._users.value.get(user)
        # What is remembered is remembered for this very hash: a new password is asked for at once.
        question = sha256(b"\0".join([user.encode(), secret.encode(), hashed or b""])).digest()
        if not self._checked.get(question, lambda: self._check(secret, hashed)):
            raise RegistryError(UNAUTHORIZED)
        return self.named(user)

    def named(self, principal: str) -> "LocalCaller":
        """The caller of a name that has been proved."""
        names = {principal, "*"} if principal in self._users.value else {principal}
        return LocalCaller(principal, tuple(grant for grant in self._grants.value if grant.who in names))

    def needed(self, action: Action, repository: str) -> Needed:
        """See Authorizer.needed."""
        return Needed(action.value, f"repositories/{repository}")

    def _check(self, secret: str, hashed: bytes | None) -> bool:
        """Whether the password is right, in a time that does not tell whether there is such a user."""
        if len(secret.encode()) > LONGEST:
            return False
        with self._bulkhead.place():
            return bcrypt.checkpw(secret.encode(), hashed or _nobodys()) and hashed is not None


@dataclass(frozen=True, slots=True)
class LocalCaller:
    """Caller by the grants that there are for it."""

    principal: str
    grants: tuple[Grant, ...]

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide."""
        if action not in ON_REPOSITORIES:
            return Decision(Verdict.ALLOWED, "the user is known")
        for grant in self.grants:
            if action in grant.may and patterns.matches([grant.repositories], repository):
                return decided(True, str(grant))
        return decided(False, f"no line of the grants lets {self.principal} {action.value} here")

    def readable(self) -> Sequence[str]:
        """See Caller.readable."""
        return [grant.repositories for grant in self.grants if Action.PULL in grant.may]


class _Watched(Generic[T]):
    """What a file says, read again when the file changes."""

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self._path = path
        self._parse = parse
        self._lock = threading.Lock()
        self._seen = self._state()
        self._value = self._read()

    @property
    def value(self) -> T:
        with self._lock:
            state = self._state()
            if state != self._seen:
                self._seen = state
                try:
                    self._value = self._read()
                except FileInvalid as error:
                    log.error("%s is left as it was: %s", self._path.name, error)
            return self._value

    def _state(self) -> object:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return (status.st_mtime_ns, status.st_size, status.st_ino)

    def _read(self) -> T:
        try:
            return self._parse(self._path.read_text() if self._path.exists() else "")
        except (OSError, UnicodeDecodeError) as error:
            raise FileInvalid(f"{self._path} cannot be read: {error}") from error


def _grant(number: int, line: str) -> Grant:
    words = line.split()
    if len(words) != 3 or not patterns.is_pattern(words[1]):
        raise FileInvalid(f"line {number} of the grants is not WHO REPOSITORIES ACTIONS")
    by_name = {action.value: action for action in ON_REPOSITORIES}
    actions = words[2].split(",")
    if not by_name.keys() >= set(actions):
        raise FileInvalid(f"line {number} of the grants has an action other than {', '.join(by_name)}")
    return Grant(number, words[0], words[1], frozenset(by_name[action] for action in actions))


def _lines(text: str) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers."""
    numbered = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [(number, line) for number, line in numbered if line and not line.startswith("#")]


@cache
def _nobodys() -> bytes:
    """The hash of a password that nobody has."""
    return bcrypt.hashpw(b"nobody's", bcrypt.gensalt(COST))
