"""The two files of a registry that asks no Google, as texts: who there is, and what each may do.

users.htpasswd, as `htpasswd -B` writes it (bcrypt alone), or `lading users`:

    alice:$2y$10$…

grants.txt, a line for each grant; all that match are added up:

    # who                repositories   may
    alice                team-a/*       pull,push
    bob@example.com      team-a/*       pull
    *                    shared/*       pull

Lines end with LF or CR LF and with nothing else, and words are separated by blanks and tabs. Control and format
characters, and blanks of other kinds, are refused wherever they stand: what an editor shows as a comment must not end
in a grant, nor what it shows as one name be another.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

import bcrypt

from lading.auth import patterns
from lading.auth.access import ON_REPOSITORIES, Action
from lading_storage.errors import StorageError

MAX_PASSWORD: Final = 72
"""Bytes of a password: bcrypt looks at no more, so more would be a promise that it does not keep."""

COST: Final = 10
"""Of new passwords, as the exponent of 2; some 50 ms. A file with less is taken, with a warning."""

MAX_COST: Final = 14
"""Some 800 ms: with more, a few logins would keep all processors busy."""

FORBIDDEN: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
"""Categories of Unicode of which a file may have a blank and a tab alone."""

_HASH: Final = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")


class FileInvalid(StorageError):
    """A file of users or grants that cannot be used; the message says where, and why."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A line of the grants."""

    line: int
    principal: str
    repositories: str
    may: frozenset[Action]

    def __str__(self) -> str:
        may = ",".join(action.value for action in ON_REPOSITORIES if action in self.may)
        return f"line {self.line} of the grants: {self.principal} {self.repositories} {may}"


@dataclass(frozen=True, slots=True)
class Users:
    """The users of a file.

    hashes  of their passwords, by name
    cost    the largest cost of a hash: what each check of a password is made to cost
    """

    hashes: dict[str, bytes]
    cost: int = COST

    @property
    def weakly_hashed(self) -> list[str]:
        """Names whose hash costs less than those that are made today."""
        return [name for name, hashed in self.hashes.items() if cost_of(hashed) < COST]


def read_users(text: str) -> Users:
    """Return the users of a file. Raises FileInvalid."""
    hashes = {}
    for number, line in lines_of(text, "users"):
        user, colon, hashed = line.partition(":")
        if not user or not colon or not _HASH.fullmatch(hashed):
            raise FileInvalid(f"line {number} of the users is not NAME:HASH, with a hash by bcrypt (htpasswd -B)")
        hashes[user] = hashed.encode()
        if cost_of(hashes[user]) > MAX_COST:
            raise FileInvalid(
                f"line {number} of the users has a cost above {MAX_COST}: `lading users set` makes {COST}"
            )
    return Users(hashes, max(map(cost_of, hashes.values()), default=COST))


def read_grants(text: str) -> tuple[Grant, ...]:
    """Return the grants of a file. Raises FileInvalid."""
    return tuple(_grant(number, line) for number, line in lines_of(text, "grants"))


def hash_password(password: str) -> str:
    """Return what stands in the file for a password. Raises FileInvalid where bcrypt could not tell it from others."""
    if not 0 < len(password.encode()) <= MAX_PASSWORD:
        raise FileInvalid(f"a password has from 1 to {MAX_PASSWORD} bytes")
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode()


def cost_of(hashed: bytes) -> int:
    """Return the cost of a hash by bcrypt, as the exponent of 2."""
    return int(hashed[4:6])


def is_printable(text: str) -> bool:
    """Return whether `text` has no character that a file of users or grants must not have."""
    return _forbidden(text) is None


def lines_of(text: str, what: str) -> list[tuple[int, str]]:
    """Return the lines that say something, with their numbers. Raises FileInvalid, with line and column."""
    found = []
    for number, whole in enumerate(text.split("\n"), start=1):
        line = whole.removesuffix("\r")
        if (column := _forbidden(line)) is not None:
            character = f"U+{ord(line[column]):04X}"
            raise FileInvalid(
                f"line {number}, column {column + 1} of the {what} has {character}, which is refused: control and"
                " format characters, and blanks other than space and tab"
            )
        if (stripped := line.strip(" \t")) and not stripped.startswith("#"):
            found.append((number, stripped))
    return found


def _forbidden(line: str) -> int | None:
    """Return the position of the first character that must not stand in a line."""
    if line.isascii() and line.isprintable():
        return None
    for position, character in enumerate(line):
        if character not in " \t" and unicodedata.category(character) in FORBIDDEN:
            return position
    return None


def _grant(number: int, line: str) -> Grant:
    words = re.split(r"[ \t]+", line)
    if len(words) != 3 or not patterns.is_pattern(words[1]):
        raise FileInvalid(f"line {number} of the grants is not WHO REPOSITORIES ACTIONS")
    by_name = {action.value: action for action in ON_REPOSITORIES}
    actions = words[2].split(",")
    if not by_name.keys() >= set(actions):
        raise FileInvalid(f"line {number} of the grants has an action other than {', '.join(by_name)}")
    return Grant(number, words[0], words[1], frozenset(by_name[action] for action in actions))
