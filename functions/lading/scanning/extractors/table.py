"""The extractors of all formats, a row each."""

from typing import Final

from lading.scanning.extractors import apk, dpkg, rpm
from lading.scanning.extractors.extractor import Extractor

EXTRACTORS: Final[tuple[Extractor, ...]] = (
    dpkg.Dpkg(),
    apk.Apk(),
    rpm.Rpm(),
)
"""A file is read by each of them that wants it."""

LOCATIONS: Final = (dpkg.STATUS, dpkg.STATUS_FOLDER, *apk.PATHS, *rpm.PATHS)
"""Where the databases of distributions are. A layer may replace a folder above them with a link."""
