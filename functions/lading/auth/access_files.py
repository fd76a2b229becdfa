"""Parsers of the users file and the grants file, which authenticate and authorize without Google.

users.htpasswd, as written by `htpasswd -B` (bcrypt only) or `lading users`:

    alice:$2y$10$…

grants.txt, one grant a line; the rights of a principal are the union of all matching grants:

    # who                repositories   may
    alice                team-a/*       pull,push
    bob@example.com      team-a/*       pull
    carol                *              pull,push,delete,manage
    *                    shared/*       pull

Lines end with LF or CR LF only, and words are separated by spaces and tabs. Control and format characters, and other
kinds of space, are refused everywhere: text that an editor displays as a comment must not contain a grant, and two
different names must not be displayed alike.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

import bcrypt

from lading.auth import patterns
from lading.auth.access import RIGHTS, Action
from lading_storage.errors import StorageError

MAX_PASSWORD: Final = 72
"""Bytes of a password: bcrypt ignores all further ones, so a longer password would be no stronger."""

COST: Final = 10
"""bcrypt cost of new hashes, as the exponent of 2; about 50 ms. Hashes of a lower cost are accepted, with a warning."""

MAX_COST: Final = 14
"""Highest accepted bcrypt cost; about 800 ms. Above it a few logins would saturate all processors."""

FORBIDDEN: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
"""Unicode categories that both files refuse, except for space and tab."""

_HASH: Final = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")


class FileInvalid(StorageError):
    """A users file or grants file is invalid; the message has the line and the reason."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A line of the grants file.

    line          its number, from 1
    principal     a user name, an e-mail address, one of Google's account numbers, or `*`
    repositories  a pattern (auth.patterns)
    may           the granted actions
    """

    line: int
    principal: str
    repositories: str
    may: frozenset[Action]

    def __str__(self) -> str:
        may = ",".join(action.value for action in RIGHTS if action in self.may)
        return f"line {self.line} of the grants: {self.principal} {self.repositories} {may}"


@dataclass(frozen=True, slots=True)
class Users:
    """The users of a file.

    hashes  bcrypt hashes of passwords, by user name
    cost    the highest cost of these; every password check does as much work, so that its time reveals nothing
    """

    hashes: dict[str, bytes]
    cost: int = COST

    @property
    def weakly_hashed(self) -> list[str]:
        """Names of users whose hash has a cost below COST."""
        return [name for name, hashed in self.hashes.items() if cost_of(hashed) < COST]


def read_users(text: str) -> Users:
    """Parse a users file. Raises FileInvalid."""
    hashes = {}
    for number, line in lines_of(text, "users"):
        user, colon, hashed = line.partition(":")
        if not user or not colon or not _HASH.fullmatch(hashed):
            raise FileInvalid(f"line {number} of the users is not NAME:HASH with a bcrypt hash (htpasswd -B)")
        hashes[user] = hashed.encode()
        if cost_of(hashes[user]) > MAX_COST:
            raise FileInvalid(f"line {number} of the users has a cost above {MAX_COST}; `lading users set` uses {COST}")
    return Users(hashes, max(map(cost_of, hashes.values()), default=COST))


def read_grants(text: str) -> tuple[Grant, ...]:
    """Parse a grants file. Raises FileInvalid."""
    return tuple(_grant(number, line) for number, line in lines_of(text, "grants"))


def hash_password(password: str) -> str:
    """Return the bcrypt hash of a password for the users file.

    Raises FileInvalid if the password is empty, or longer than bcrypt reads.
    """
    if not 0 < len(password.encode()) <= MAX_PASSWORD:
        raise FileInvalid(f"a password must have from 1 to {MAX_PASSWORD} bytes")
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode()


def cost_of(hashed: bytes) -> int:
    """Return the cost of a bcrypt hash, as the exponent of 2."""
    return int(hashed[4:6])


def is_printable(text: str) -> bool:
    """Return whether `text` has no character that the users file and the grants file refuse."""
    return _forbidden_position(text) is None


def lines_of(text: str, what: str) -> list[tuple[int, str]]:
    """Return the lines that are neither blank nor comments, with their numbers from 1.

    Args:
        text: content of the file.
        what: `users` or `grants`, for the message.

    Raises:
        FileInvalid: with the line and column of a forbidden character.
    """
    lines = []
    for number, whole in enumerate(text.split("\n"), start=1):
        line = whole.removesuffix("\r")
        if (column := _forbidden_position(line)) is not None:
            character = f"U+{ord(line[column]):04X}"
            raise FileInvalid(
                f"line {number}, column {column + 1} of the {what} has {character}; control and format characters, and"
                " spaces other than space and tab, are not allowed"
            )
        if (stripped := line.strip(" \t")) and not stripped.startswith("#"):
            lines.append((number, stripped))
    return lines


def _forbidden_position(line: str) -> int | None:
    """Return the index of the first forbidden character, or None."""
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
    by_name = {action.value: action for action in RIGHTS}
    actions = words[2].split(",")
    if not by_name.keys() >= set(actions):
        raise FileInvalid(f"line {number} of the grants has an action other than {', '.join(by_name)}")
    return Grant(number, words[0], words[1], frozenset(by_name[action] for action in actions))
