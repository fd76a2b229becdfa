"""Composition of webhooks: their sink, their deliveries and their administration, as the settings name them."""

from collections.abc import Callable
from functools import cache

from lading.addresses import Addresses
from lading.events.deliveries import DeliveryRun
from lading.events.delivery_job import DeliveryJob
from lading.events.webhook_admin import WebhookAdmin
from lading.events.webhook_attempts import WebhookClient
from lading.events.webhooks import WebhookSink
from lading.outbound import Outbound
from lading.registry.change_context import now
from lading.settings import Settings
from lading_storage.protocols import MetadataStore


def open_webhook_sink(settings: Settings, metadata: MetadataStore) -> WebhookSink:
    """Return the sink that creates deliveries."""
    return WebhookSink(metadata, lambda: settings.events_url, now)


def open_webhook_admin(settings: Settings, metadata: MetadataStore) -> WebhookAdmin:
    """Return the administration of the webhooks in `metadata`."""
    return WebhookAdmin(metadata, _robots_key(settings, create=True), now)


def open_webhook_client(settings: Settings) -> WebhookClient:
    """Return the client that posts events to endpoints."""
    return WebhookClient(Outbound(open_addresses(settings)), _robots_key(settings, create=False), now)


def open_delivery_run(settings: Settings, metadata: MetadataStore) -> DeliveryRun:
    """Return the run that attempts deliveries."""
    return DeliveryRun(metadata, open_webhook_client(settings), now)


def open_delivery_job(settings: Settings, metadata: MetadataStore) -> DeliveryJob:
    """Return the job of a server that attempts deliveries."""
    return DeliveryJob(open_delivery_run(settings, metadata))


def open_addresses(settings: Settings) -> Addresses:
    """Return what decides which addresses webhooks may reach."""
    return Addresses(settings.webhook_networks)


def _robots_key(settings: Settings, create: bool) -> Callable[[], bytes]:
    """Return a function that returns the robots' key, which no rotation replaces; the keys are loaded on demand.

    A registry without webhooks needs no keys for them. Where there are some, new keys could not open their secrets, so
    that only the first webhook may `create` them. The function raises SettingsError, StorageError.
    """

    @cache
    def robots_key() -> bytes:
        from lading.auth_composition import open_keys

        return open_keys(settings.keys, create).load().robots

    return robots_key
