"""Metrics: the facade through which the composition and `lading serve` measure a server."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from prometheus_client.exposition import generate_latest

import lading
from lading.auth.access import Authenticator
from lading.auth.google.client import GoogleClient
from lading.events.status import status_of
from lading.jobs.background import SlicedJob
from lading.local_path import local_path
from lading.metrics import metric_rows as rows
from lading.metrics.instruments import Instruments
from lading.metrics.metered_app import MeteredApp
from lading.metrics.metered_job import MeteredJob
from lading.metrics.metered_stores import conflict_hook, timing_hook
from lading.metrics.store_readings import CLOUD_INTERVAL, INTERVAL, StoreReadings
from lading.registry.registry import Registry
from lading.settings import Settings
from lading.version import source_version
from lading_storage.forwarding import ForwardingBlobs, ForwardingMetadata
from lading_storage.protocols import BlobStore, MetadataStore

MAX_AGE: Final = 1.0
"""Seconds for which an exposition is reused: many scrapes cost what one does."""


class Metrics:
    """The metrics of one server. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        """Create metrics that are all zero."""
        self._settings = settings
        self._instruments = Instruments()
        self._instruments[rows.BUILD][lading.__version__, source_version()].set(1)
        self._exposition, self._made_at = b"", -MAX_AGE
        self._lock = threading.Lock()

    def blobs(self, store: BlobStore) -> BlobStore:
        """Return the settings' blob store with its calls measured."""
        return ForwardingBlobs(store, timing_hook(self._instruments[rows.STORAGE_ACTION], self._settings.blobs))

    def metadata(self, store: MetadataStore) -> MetadataStore:
        """Return the settings' metadata store with its calls measured."""
        hook = timing_hook(self._instruments[rows.STORAGE_ACTION], self._settings.metadata)
        return ForwardingMetadata(store, conflict_hook(hook, self._instruments[rows.CONFLICTS]))

    def google_client(self, client: GoogleClient | None = None) -> GoogleClient:
        """Return a client of Google's APIs, by default a new one, with its requests measured."""
        client, seconds = client or GoogleClient(), self._instruments[rows.GOOGLE_REQUEST]
        client.on_request = lambda host, duration: seconds[(host,)].observe(duration)
        return client

    def app(
        self,
        registry: Registry,
        settings: Settings,
        authenticator: Authenticator,
        read_only: str,
        reserve: Callable[[], AbstractContextManager[None]],
    ) -> MeteredApp:
        """Return the app with its requests measured, and read its stores for scrapes from now on."""
        interval = INTERVAL if settings.embedded else CLOUD_INTERVAL
        readings = StoreReadings(partial(status_of, registry.metadata), _folders(settings), interval)
        self._instruments.registry.register(readings)
        return MeteredApp(registry, settings, authenticator, read_only, reserve, instruments=self._instruments)

    def job(self, name: str, interval: timedelta, job: SlicedJob) -> SlicedJob:
        """Return a background job with its runs measured; `interval` is how long the server waits between two."""
        self._instruments[rows.JOB_INTERVAL][(name,)].set(interval.total_seconds())
        return MeteredJob(name, job, self._instruments)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format, at most MAX_AGE old."""
        with self._lock:
            if time.monotonic() >= self._made_at + MAX_AGE:
                self._exposition = generate_latest(self._instruments.registry)
                self._made_at = time.monotonic()
            return self._exposition


def _folders(settings: Settings) -> dict[str, Path]:
    """Return the folders of the stores that are on this machine, by the name of the store."""
    stores = {"blobs": (settings.blobs, "file"), "metadata": (settings.metadata, "sqlite")}
    return {
        name: local_path(url, scheme) if scheme == "file" else local_path(url, scheme).parent
        for name, (url, scheme) in stores.items()
        if urlsplit(url).scheme == scheme
    }
