"""Prices of storage on Google Cloud, each with its date. Update them here.

Only storage has a price here. Requests, traffic and the function's time depend on what clients do.
"""

from typing import Final, NamedTuple


class Price(NamedTuple):
    """Price of storage.

    Attributes:
        dollars: for a GiB that is stored for a month.
        what: the product and location that it applies to.
        read: the date on which it was read from the price list, or "".
    """

    dollars: float
    what: str
    read: str


BLOBS: Final = Price(0.020, "Cloud Storage, Standard, in a region of the United States", "2026-09-20")
"""https://cloud.google.com/storage/pricing"""

RECORDS: Final = Price(0.18, "Firestore, in a multi-region; a region costs less", "")
"""https://cloud.google.com/firestore/pricing, as generally known; not read from the price list itself."""

GIB: Final = 1024**3


def monthly(blobs: int, records: int) -> float:
    """Return the price in dollars a month of storing bytes of blobs and of records, without the free tier."""
    return (blobs * BLOBS.dollars + records * RECORDS.dollars) / GIB
