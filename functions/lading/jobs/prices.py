"""What Google Cloud takes for what is stored: the one place to change, with the day of each price.

Only what lies still is priced. Requests, traffic and the function's time depend on what clients do.
"""

from typing import Final, NamedTuple


class Price(NamedTuple):
    """Dollars for a GiB that is stored for a month, for what, and the day of the price list it was read from."""

    dollars: float
    what: str
    read: str


BLOBS: Final = Price(0.020, "Cloud Storage, Standard, in a region of the United States", "2026-09-20")
"""https://cloud.google.com/storage/pricing"""

RECORDS: Final = Price(0.18, "Firestore, in a multi-region; a region costs less", "")
"""https://cloud.google.com/firestore/pricing, as generally known: the list itself could not be read for this."""

GIB: Final = 1024**3


def monthly(blobs: int, records: int) -> float:
    """Dollars a month for so many bytes of blobs and of records, without what is free of charge."""
    return (blobs * BLOBS.dollars + records * RECORDS.dollars) / GIB
