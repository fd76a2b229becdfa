"""StoredData: what became of the data of one ecosystem, in a module that commands can import without the extra."""

from dataclasses import dataclass
from typing import Final

UPDATED: Final = "updated"
UNCHANGED: Final = "unchanged"
FAILED: Final = "failed"
"""Outcomes."""


@dataclass(frozen=True, slots=True)
class StoredData:
    """Data of one ecosystem after an update or import.

    outcome  updated, unchanged or failed
    records  in the new data, or null where there is none
    error    why it failed, or what is missing in the data, or ""
    """

    ecosystem: str
    outcome: str
    records: int | None
    error: str
