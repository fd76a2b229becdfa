"""Composition of scans: whether images are scanned, and the scanner of this process, as the settings say."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lading.registry.change_context import now
from lading.registry.registry import Registry
from lading.settings import Settings, SettingsError

if TYPE_CHECKING:
    from lading.jobs.background import SlicedJob
    from lading.scanner.backend import DataSource
    from lading.vulnerabilities.document_keys import DocumentKeys
    from lading.vulnerabilities.download import Update

EXTRA: Final = ("cvss", "cyclonedx", "dissect", "packageurl", "univers")
"""Import packages of the extra `scan`; they are looked for, and not imported."""

EXTRA_COMMAND: Final = "pip install 'lading-registry[scan]'"
NO_EXTRA: Final = f"--scan on needs the extra `scan`: {EXTRA_COMMAND}"
NO_SCANNER: Final = "--scan on needs --scanner: in the cloud, a function with an account of its own scans"


def scans_images(settings: Settings) -> bool:
    """Return whether images that are pushed are to be scanned.

    Raises:
        SettingsError: they are to be, and there is nothing that scans them.
    """
    if settings.scan == "off":
        return False
    can_scan = all(map(find_spec, EXTRA)) if settings.embedded else bool(settings.scanner)
    if settings.scan == "on" and not can_scan:
        raise SettingsError(NO_EXTRA if settings.embedded else NO_SCANNER)
    return can_scan


def honour_documents(settings: Settings, registry: Registry) -> None:
    """Let documents about images count that a key of the settings signed. Raises SettingsError as document_keys."""
    if (keys := document_keys(settings)) is not None:
        registry.honour_documents(keys)


def document_keys(settings: Settings) -> "DocumentKeys | None":
    """Return the keys whose documents count; None, and nothing is imported, where the settings name none.

    Raises:
        SettingsError: a key cannot be used.
    """
    if not settings.vex_keys and not settings.scan_keys:
        return None
    from lading.signatures.public_keys import KeyInvalid
    from lading.vulnerabilities.document_keys import DocumentKeys, load_keys

    found = {}
    for name, text in (("vex", settings.vex_keys), ("scan", settings.scan_keys)):
        try:
            found[name] = load_keys(text) if text else {}
        except KeyInvalid as error:
            raise SettingsError(f"--{name}-keys: {error}") from None
    return DocumentKeys(found["vex"], found["scan"])


def open_scan_job(settings: Settings, registry: Registry) -> "SlicedJob":
    """Return the job of a server that scans the images of its registry. Nothing is opened before the first image."""
    from lading.scanner.in_process import InProcessBackend
    from lading.scanner.scan_job import ScanJob

    return ScanJob(InProcessBackend(registry), lambda: open_data(settings, registry), now)


def updates_data(settings: Settings) -> bool:
    """Return whether this server downloads vulnerability data. Raises SettingsError, see `scans_images`."""
    is_wanted = settings.vulnerability_updates == "on" and bool(settings.vulnerability_source)
    return is_wanted and settings.embedded and scans_images(settings)


def open_update_job(settings: Settings, registry: Registry) -> "SlicedJob":
    """Return the job of a server that updates vulnerability data. The first download imports what downloads."""
    from lading.jobs.vulnerability_updates import VulnerabilityUpdateJob

    def download(etags: Mapping[str, str], folder: Path) -> "Iterable[Update]":
        from lading.vulnerabilities.download import update

        return update(settings.vulnerability_source, etags, folder)

    return VulnerabilityUpdateJob(registry.scans.vulnerability_data(settings.vulnerability_repository), download, now)


def open_data(settings: Settings, registry: Registry) -> "DataSource":
    """Return the vulnerability data of a registry, with local copies beside its own data."""
    from lading.scanner.database_files import DatabaseFiles

    artifacts = registry.scans.vulnerability_data(settings.vulnerability_repository)
    return DatabaseFiles(artifacts, cache_folder(settings))


def cache_folder(settings: Settings) -> Path:
    """Return the folder of local copies of vulnerability data."""
    return settings.data / "cache" / "vulnerabilities"
