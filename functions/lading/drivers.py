"""Names of the stores' drivers, as metrics and traces have them; `filesystem` and `gcs` are distribution's as well."""

from typing import Final
from urllib.parse import urlsplit

DRIVERS: Final = {"file": "filesystem", "sqlite": "sqlite", "gs": "gcs", "firestore": "firestore"}
"""The names, by the scheme of a store's URL."""


def driver_of(url: str) -> str:
    """Return the name of the driver of the store at `url`."""
    return DRIVERS[urlsplit(url).scheme]
