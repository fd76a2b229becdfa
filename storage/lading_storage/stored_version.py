"""Schema version of a store's content beside the one that this release uses, read without changing the store."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """Schema version of a store.

    stored        of its content
    current       that this release reads and writes
    needed_space  free bytes on the store's disk that an upgrade needs
    free_space    free bytes that the disk has, where an upgrade needs some
    """

    stored: int
    current: int
    needed_space: int = 0
    free_space: int = 0
