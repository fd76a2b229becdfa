"""Errors that drivers raise. Any other exception that leaves a driver is a bug.

StorageError
├── Conflict            a precondition did not hold: read again and decide again
├── ObjectNotFound      no object has that name
├── StoreNotFound       the store does not exist, and the caller did not ask to create it
│   └── ForeignStore    the location belongs to another program
├── TooLarge            a commit exceeds the store's limit: split it
├── Corrupt             the stored bytes differ from those that were sent; of an upload, nothing is stored
└── Unavailable         the store did not respond or cannot store more: retrying the request later may succeed
    ├── StoreDamaged    a file of the store does not have the content that the store wrote
    └── StoreFull       the store has no space left
"""

import errno
from pathlib import Path
from typing import Final

NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk and of an exhausted quota: see StoreFull."""


class StorageError(Exception):
    """Base class of driver errors. The message is for the operator's log, never for a client."""


class Conflict(StorageError):
    """A precondition of a commit did not hold, so nothing of that commit was written."""


class ObjectNotFound(StorageError):
    """No object has that name."""


class StoreNotFound(StorageError):
    """The store does not exist at this location, and the caller did not ask to create one."""


class ForeignStore(StoreNotFound):
    """The location belongs to another program: it is neither used nor turned into a store."""


class TooLarge(StorageError):
    """A commit exceeds the store's limit, so nothing was written. The same writes never fit into one commit."""


class Corrupt(StorageError):
    """The stored bytes differ from the bytes that were sent. The object of an upload has been removed."""


class Unavailable(StorageError):
    """The store did not respond in time, refused the request, or is full."""


class UnknownRules(Unavailable):
    """A newer release wrote rules that this one does not know, so it changes nothing."""


class StoreDamaged(Unavailable):
    """A file of a store is damaged: its content cannot be read, and nothing is written to it.

    Attributes:
        path: the damaged file.
        why: a short description of the damage.
    """

    def __init__(
        self, path: Path, why: str, step: str = "restore a backup into another folder with `lading restore`"
    ) -> None:
        """Describe the damage.

        Args:
            path: the damaged file.
            why: a short description of the damage.
            step: the next step for the operator.
        """
        super().__init__(f"{path} is damaged ({why}): {step}")
        self.path = path
        self.why = why


class StoreFull(Unavailable):
    """The store has no space left: reads still work, and writes work again once space has been freed.

    Attributes:
        store: the kind of store as named to clients, "blobs" or "metadata".
        place: the file or folder that cannot grow.
    """

    def __init__(
        self, store: str, place: Path, step: str = "free some, for example with `lading gc`, or enlarge the disk"
    ) -> None:
        """Describe the full store.

        Args:
            store: the kind of store as named to clients, "blobs" or "metadata".
            place: the file or folder that cannot grow.
            step: the next step for the operator.
        """
        super().__init__(f"no space left for {store} at {place}: {step}")
        self.store = store
        self.place = place
