"""What a driver may raise. Everything else that leaves a driver is a defect.

StorageError
├── Conflict      a precondition did not hold: read again, decide again
├── Missing       there is no object of that name
├── StoreNotFound there is no store, and none was to be made
│   └── ForeignStore what is there is another program's
├── TooLarge      a commit is larger than the store takes: split it
├── Corrupt       the bytes that are kept are not those that were sent; of an upload nothing is kept
└── Unavailable   the store did not answer, or cannot take more: the same request may work later
    ├── Damaged   a file of the store is not what the store wrote
    └── Full      the store has no space left
"""

import errno
from pathlib import Path
from typing import Final

NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)
"""What the system says where a disk is full, or a quota used up: see Full."""


class StorageError(Exception):
    """The root of what drivers raise; its message is for the operator's log, never for a client."""


class Conflict(StorageError):
    """A precondition of a commit did not hold, so nothing of that commit was written."""


class ObjectNotFound(StorageError):
    """There is no object of that name."""


class StoreNotFound(StorageError):
    """There is no store at this place, and the caller did not ask for a new one."""


class ForeignStore(StoreNotFound):
    """What is at this place belongs to another program: it is neither used nor made into a store."""


class TooLarge(StorageError):
    """A commit is larger than the store takes, so nothing of it was written: the same writes never fit together."""


class Corrupt(StorageError):
    """The bytes that the store keeps are not the bytes that were sent; an upload's object has been removed."""


class Unavailable(StorageError):
    """The store did not answer in time, refused, or is full."""


class StoreDamaged(Unavailable):
    """A file that a store lives in is damaged: what it has cannot be read, and nothing is written to it.

    path  the file
    why   what is wrong with it
    """

    def __init__(self, path: Path, why: str, step: str = "`lading restore` puts a backup into another folder") -> None:
        """Say which file is damaged, and what to do."""
        super().__init__(f"{path} is damaged ({why}): {step}")
        self.path = path
        self.why = why


class StoreFull(Unavailable):
    """The store has no space left: it can be read, and takes more once somebody has made room.

    store  what is full, as clients are told: "blobs" or "metadata"
    place  the file or folder that no space is left for
    """

    def __init__(
        self, store: str, place: Path, step: str = "free some, as by `lading gc`, or enlarge the disk"
    ) -> None:
        """Say which store is full, where it is, and what to do."""
        super().__init__(f"no space left for {store} at {place}: {step}")
        self.store = store
        self.place = place
