"""The composition root: opens what the settings name, and assembles the app. The only module that chooses drivers."""

from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lading.cleanup_setting import open_cleanup_policies
from lading.local_path import local_path
from lading.registry.change_context import now
from lading.registry.registry import Registry
from lading.registry.rules.effective import NO_LOCAL_RULES, LocalRules, undelete_of
from lading.registry.rules.immutable import ImmutableTags
from lading.registry.rules.missing_content import MissingContent
from lading.scan_composition import honour_documents, scans_images
from lading.settings import DATABASE, Settings, SettingsError
from lading_storage.errors import ForeignStore, StoreNotFound
from lading_storage.protocols import BlobStore, MetadataStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lading.app import App
    from lading.jobs.gc.collect import Collector
    from lading.jobs.gc.sweep import GracePeriods
    from lading.metrics.metrics import Metrics
    from lading.traces.traces import Traces
    from lading_storage.forwarding import Hook
    from lading_storage.stored_version import StoredVersion


def open_blobs(
    url: str,
    hmac_key: Path | None = None,
    cdn_key: Path | None = None,
    create: bool = True,
    signer_hook: "Hook | None" = None,
) -> BlobStore:
    """Open the blob store at `url`.

    Args:
        url: file:///FOLDER or gs://BUCKET.
        hmac_key: a file with the HMAC key by which the store signs URLs.
        cdn_key: a file with the key by which it signs URLs of a CDN.
        create: whether a missing folder is created.
        signer_hook: called around each signing of a URL.

    Raises:
        SettingsError: the URL is invalid.
        StoreNotFound: the folder does not exist, and `create` is false.
        StorageError: the store cannot be opened.
    """
    parts = urlsplit(url)
    match parts.scheme:
        case "file":
            from lading_storage.local.filesystem import FilesystemBlobs

            return FilesystemBlobs(local_path(url, "file"), create)
        case "gs" if parts.netloc and not parts.path.strip("/"):
            from lading_storage.google.gcs import CloudStorageBlobs

            return CloudStorageBlobs(parts.netloc, hmac_key, cdn_key, signer_hook)
    raise SettingsError(f"a blob store is file:///FOLDER or gs://BUCKET, not {url}")


def open_metadata(url: str, create: bool = True, upgrade: bool = True) -> MetadataStore:
    """Open the metadata store at `url`.

    Args:
        url: sqlite:///FILE or firestore://PROJECT/DATABASE.
        create: whether a missing store is created.
        upgrade: whether a file of an earlier release is upgraded.

    Raises:
        SettingsError: the URL is invalid.
        StoreNotFound: the store does not exist, and `create` is false. Firestore's driver raises it with the first
            request.
        ForeignStore: the file is another program's database.
        StorageError: the store cannot be opened.
    """
    parts = urlsplit(url)
    match parts.scheme:
        case "sqlite":
            from lading_storage.local.sqlite_read_only import open_sqlite

            path = local_path(url, "sqlite")
            try:
                return open_sqlite(path, create, upgrade)
            except ForeignStore as error:
                raise ForeignStore(f"{error}, and no registry; use another --data FOLDER") from None
            except StoreNotFound:
                shown = path.parent if path.name == DATABASE else path
                raise StoreNotFound(f"no registry at {shown}; use --data FOLDER") from None
        case "firestore" if parts.netloc:
            from lading_storage.google.firestore import FirestoreMetadata

            return FirestoreMetadata(parts.netloc, parts.path.strip("/") or "(default)", create=create)
    raise SettingsError(f"a metadata store is sqlite:///FILE or firestore://PROJECT/DATABASE, not {url}")


def stored_versions(settings: Settings) -> "Iterator[tuple[str, Callable[[], StoredVersion]]]":
    """Yield the URL of each store that has a schema, and what reads its version. Nothing is opened for writing.

    A bucket has none: what the names of its objects mean is the metadata's matter.
    """
    metadata, blobs = urlsplit(settings.metadata), urlsplit(settings.blobs)
    if metadata.scheme == "sqlite":
        from lading_storage.local import sqlite_version

        yield settings.metadata, lambda: sqlite_version.stored_version(local_path(settings.metadata, "sqlite"))
    elif metadata.scheme == "firestore" and metadata.netloc:
        from lading_storage.google import firestore_schema

        database = metadata.path.strip("/") or "(default)"
        yield settings.metadata, lambda: firestore_schema.stored_version(metadata.netloc, database)
    else:
        open_metadata(settings.metadata, create=False)  # it raises what is wrong with the URL
    if blobs.scheme == "file":
        from lading_storage.local import filesystem

        yield settings.blobs, lambda: filesystem.stored_version(local_path(settings.blobs, "file"))


def open_registry(
    settings: Settings, metadata: MetadataStore, create: bool = True, local: LocalRules | None = None
) -> Registry:
    """Return the registry with `metadata` and the settings' blob store. Raises SettingsError, StorageError.

    Args:
        settings: name the blob store.
        metadata: the metadata store.
        create: whether a missing blob store is created.
        local: the rules of this process; by default, those that the settings give (`local_rules`).
    """
    blobs = open_blobs(settings.blobs, settings.hmac_key, settings.cdn_key, create)
    return Registry(blobs, metadata, local_rules(settings) if local is None else local)


def local_rules(settings: Settings) -> LocalRules:
    """Return the rules that the settings give a command, beside those of the registry. Raises SettingsError."""
    return LocalRules(
        immutable_tags(settings),
        missing_content(settings),
        settings.undelete if settings.is_given("undelete") else None,
        settings.grace if settings.is_given("grace") else None,
    )


def immutable_tags(settings: Settings) -> ImmutableTags:
    """Return the settings' rules for immutable tags. Raises SettingsError."""
    try:
        return ImmutableTags.parse(settings.immutable)
    except ValueError as error:
        raise SettingsError(f"--immutable: {error}") from None


def missing_content(settings: Settings) -> MissingContent:
    """Return the settings' rules for missing content. Raises SettingsError."""
    try:
        return MissingContent.of(settings.allow_missing)
    except ValueError as error:
        raise SettingsError(f"--allow-missing: {error}") from None


def open_collector(settings: Settings, grace_periods: "GracePeriods | None" = None, create: bool = True) -> "Collector":
    """Return the garbage collector, by default with the settings' grace periods. Raises SettingsError, StorageError."""
    return collector_of(
        settings, open_registry(settings, open_metadata(settings.metadata, create), create), grace_periods
    )


def collector_of(settings: Settings, store: Registry, grace_periods: "GracePeriods | None" = None) -> "Collector":
    """Return the garbage collector of an open registry: its own rules count, and the stricter ones of this process.

    Args:
        settings: have the clean-up policies for a registry whose rules have none.
        store: the registry.
        grace_periods: other periods; its undelete window is at least that of the registry's rules.

    Raises:
        SettingsError: the policies are not valid.
        StorageError: the rules cannot be read.
        ForeignBlobs: the blob store belongs to another registry.
    """
    from lading.jobs.cleanup import in_collection
    from lading.jobs.gc.collect import Collector
    from lading.jobs.gc.sweep import GracePeriods
    from lading.registry.owner_mark import require_own

    require_own(store.objects, store.metadata, all_known=False)
    rules, time = store.rules.read_all(), now()
    own = grace_periods or GracePeriods(grace=rules.grace, undelete=rules.undelete(time))
    window = max(own.undelete, undelete_of(rules.registry, time) or timedelta(0))
    periods = replace(
        own,
        undelete=window,
        events=settings.events_keep,
        undelete_of=lambda repository: rules.of(repository).undelete(time),
        guard=rules.guard,
    )
    policies = open_cleanup_policies(settings)
    clean_up = in_collection(store, policies, settings.cleanup_mode == "apply", now)
    return Collector(store, periods, clean_up if policies or rules.has_policies else None)


def standby_of(settings: Settings) -> str:
    """Return the reason why a data folder that is a backup is read-only, or "" where it is not a backup.

    Raises StorageError where the first backup into it is incomplete.
    """
    # The settings may place the two stores in different folders.
    stores = ((settings.metadata, "sqlite"), (settings.blobs, "file"))
    for folder in (local_path(url, scheme).parent for url, scheme in stores if urlsplit(url).scheme == scheme):
        from lading.jobs.backup.marker import BackupRefused, read_marker

        marker = read_marker(folder)
        if marker is not None and not marker.finished:
            raise BackupRefused(f"the first backup into {folder} has not ended; back up into it again")
        if marker is not None:
            return marker.standby_of
    return ""


def create(settings: Settings, metrics: "Metrics | None" = None, traces: "Traces | None" = None) -> "App":
    """Return the app, ready to serve, observed by metrics and traces. Raises SettingsError, StorageError, ForeignBlobs.

    A standby creates and writes nothing: its content comes from the next backup.
    """
    # Imported here, since commands and the collector do not need the app.
    from lading.app import App
    from lading.auth_composition import open_authenticator

    standby = standby_of(settings)
    metadata, blobs = _open_observed(settings, not standby, metrics, traces)
    registry = Registry(blobs, metadata, NO_LOCAL_RULES, scans_images=scans_images(settings))
    registry.vulnerability_repository = settings.vulnerability_repository
    honour_documents(settings, registry)
    if standby:
        registry.become_standby()
    else:
        from lading.configured_rules import configure_rules

        configure_rules(settings, registry)
    if settings.embedded and not standby:
        from lading.jobs.gc import reserve
        from lading.registry.identity import identity_of
        from lading.registry.owner_mark import mark_served_store

        identity_of(metadata)
        mark_served_store(registry.objects, metadata)
        reserve.create_reserve(settings.metadata)
    google = traces.google_client if traces else None
    if metrics:
        google = metrics.google_client(google)
    authenticator = open_authenticator(settings, metadata, bool(standby), google)
    if traces:
        authenticator = traces.authenticator(authenticator)
    make_app = metrics.app if metrics else App
    app = make_app(registry, settings, authenticator, standby, lambda: _reserve(settings.metadata))
    if traces:
        traces.observe(app)
    return app


def _open_observed(
    settings: Settings, create: bool, metrics: "Metrics | None", traces: "Traces | None"
) -> tuple[MetadataStore, BlobStore]:
    """Return the settings' stores, with their calls observed by metrics and traces."""
    metadata = open_metadata(settings.metadata, create=create)
    signer_hook = traces.signer_hook if traces else None
    blobs = open_blobs(settings.blobs, settings.hmac_key, settings.cdn_key, create, signer_hook)
    if metrics:
        metadata, blobs = metrics.metadata(metadata), metrics.blobs(blobs)
    if traces:
        metadata, blobs = traces.metadata(metadata), traces.blobs(blobs)
    return metadata, blobs


def _reserve(metadata: str) -> AbstractContextManager[None]:
    """Return a block in which a deletion may use the reserved space. The module is imported only on a full disk."""
    from lading.jobs.gc.reserve import partly_released

    return partly_released(metadata)
