"""The cursor of a reader of published events: what it has received, in one text that the reader keeps.

    position                    all wanted events up to here were returned
    position ── two minutes ──  of the events after it, those whose hash the cursor holds were returned

The time of publication is chosen before the commit, so an event can become visible after a later one. Until such a time
is two minutes old, a cursor that was only a position would miss events; with the hashes it neither misses nor repeats
one. The registry keeps no state of readers.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, Self

from lading.registry.events.outbox import EPOCH, MICROSECOND
from lading_storage.records.events import PublishedEvent

MAX_RETURNED: Final = 256
"""Maximum hashes of a cursor, so that it fits into a URL: it has at most 2,300 characters, 3,100 encrypted. Events
beyond that are returned once earlier ones are two minutes old."""

HASH_SIZE: Final = 6
"""Bytes of a hash: of 256 events, one hides another with a probability of 1 in 10^12."""

CHECKSUM_SIZE: Final = 4


_POSITION: Final = re.compile(r"[0-9]{16}(-[0-9a-z-]{1,80})?")


@dataclass(frozen=True, slots=True)
class EventCursor:
    """Cursor of a reader.

    Attributes:
        position: the id of a published event, or the beginning of one, up to which nothing remains to be returned.
        returned: the hashes of the events after the position that were returned.
    """

    position: str
    returned: frozenset[bytes] = frozenset()

    @classmethod
    def after_time(cls, time: datetime) -> Self:
        """Return the cursor of a reader that begins after a time."""
        return cls(position_after(time))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the cursor of a text. Raises ValueError unless it is one that `str` made."""
        try:
            content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError):
            raise ValueError("it is no cursor") from None
        body, checksum = content[:-CHECKSUM_SIZE], content[-CHECKSUM_SIZE:]
        position, _, hashes = body.partition(b"\0")
        if checksum != _checksum(body) or len(hashes) % HASH_SIZE or len(hashes) > MAX_RETURNED * HASH_SIZE:
            raise ValueError("it is no cursor")
        name = position.decode("ascii", "replace")
        if not _POSITION.fullmatch(name):
            raise ValueError("it is no cursor")
        cursor = cls(name, frozenset(hashes[at : at + HASH_SIZE] for at in range(0, len(hashes), HASH_SIZE)))
        # The decoder drops characters that are not of its alphabet.
        if str(cursor) != text:
            raise ValueError("it is no cursor")
        return cursor

    def __str__(self) -> str:
        body = b"\0".join((self.position.encode(), b"".join(sorted(self.returned))))
        return base64.urlsafe_b64encode(body + _checksum(body)).decode().rstrip("=")

    @property
    def time(self) -> datetime:
        """The time of publication to which the position belongs."""
        return EPOCH + int(self.position[:16]) * MICROSECOND


def position_after(time: datetime) -> str:
    """Return the position after all events that were published up to and including a time."""
    return f"{(time - EPOCH) // MICROSECOND + 1:016d}"


def hash_of(event: PublishedEvent) -> bytes:
    """Return the hash by which a cursor remembers an event: the beginning of its public id, which is one."""
    return bytes.fromhex(event.name[: 2 * HASH_SIZE])


def _checksum(body: bytes) -> bytes:
    """Return a checksum, so that a truncated or changed cursor is an error, and no other cursor."""
    return sha256(body).digest()[:CHECKSUM_SIZE]
