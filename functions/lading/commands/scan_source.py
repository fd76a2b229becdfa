"""Where `lading scan` finds results: the stores of this machine, or the endpoints of a registry."""

import argparse
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Protocol

from lading.client.connection import Connection
from lading.commands.http_listing import below
from lading.commands.options import CommandError, Reference, registry
from lading.commands.source import refuse_credentials, refuse_stores
from lading.scanning.documents.encoding import encode
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.registry.registry import Registry


POLL_INTERVAL: Final = 2.0
"""Seconds between two looks at a scan."""


class ScanSource(Protocol):
    """Results of the scan of one image. Each method raises RegistryError, or ClientError."""

    def read(self, format: str) -> bytes:
        """Return the last result in a format."""
        ...

    def again(self) -> None:
        """Make the image due for a scan."""
        ...

    def advance(self) -> None:
        """Scan what is due, where this process can; else wait a while."""
        ...


class StoreScans:
    """Results in the stores."""

    def __init__(self, opened: "Registry", settings: Settings, target: Reference, platform: str) -> None:
        """Find the image. Raises RegistryError, SettingsError."""
        from lading.scan_composition import honour_documents

        self._settings = settings
        honour_documents(settings, opened)
        reference = opened.inspection.find_digest(target.repository, target.digest) if target.digest else target.tag
        self._registry = opened
        self._repository = target.repository
        self._digest = opened.image_scans.image(target.repository, reference, platform)

    def read(self, format: str) -> bytes:
        """See ScanSource."""
        from lading.registry.scan_formats import FORMATS, ScannedImage

        image = ScannedImage(self._settings.url, self._repository, self._digest)
        return FORMATS[format].render(self._registry.image_scans, image)

    def again(self) -> None:
        """See ScanSource. Raises CommandError where nothing would scan the image."""
        from lading.registry.scans.missing import SCANS_OFF
        from lading.scan_composition import scans_images

        if not scans_images(self._settings):
            raise CommandError(SCANS_OFF)
        self._registry.scans.again(self._repository, self._digest)

    def advance(self) -> None:
        """See ScanSource. An image that another scanner works on is waited for.

        Raises:
            CommandError: the packages that scan are not installed.
        """
        from lading.scan_composition import EXTRA, open_scan_job

        if self._settings.embedded:
            if missing := [each for each in EXTRA if find_spec(each) is None]:
                raise CommandError(f"scans need the package {missing[0]}: pip install 'lading-registry[scan]'")
            report = open_scan_job(self._settings, self._registry).run()
            if report is not None and report.counts:
                return
        time.sleep(POLL_INTERVAL)


class HttpScans:
    """Results over HTTP."""

    def __init__(self, connection: Connection, target: Reference, platform: str) -> None:
        """Make requests over `connection`."""
        self._connection = connection
        self._path, self._scope = below(target.repository, "scan")
        self._image = {"tag": target.tag, "digest": target.digest, "platform": platform}

    def read(self, format: str) -> bytes:
        """See ScanSource. The bytes are those that the registry sent: all formats are JSON as `encode` writes it."""
        return encode(self._connection.request("GET", self._path, self._scope, {**self._image, "format": format}))

    def again(self) -> None:
        """See ScanSource."""
        self._connection.request("POST", self._path, self._scope, self._image)

    def advance(self) -> None:
        """See ScanSource."""
        time.sleep(POLL_INTERVAL)


def open_scans(parsed: argparse.Namespace, settings: Settings, target: Reference) -> ScanSource:
    """Return the source that the options name. Raises CommandError, RegistryError, StorageError."""
    if parsed.registry is None:
        refuse_credentials(parsed)
        return StoreScans(registry(settings, writes=parsed.again or parsed.wait), settings, target, parsed.platform)
    from lading.commands.http_source import open_connection

    refuse_stores(parsed)
    return HttpScans(open_connection(parsed), target, parsed.platform)
