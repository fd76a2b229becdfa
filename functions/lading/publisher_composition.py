"""Composition of the publisher: its sinks, as the settings name them."""

from lading.events.publisher import Publisher
from lading.events.sink import Sink
from lading.registry.change_context import now
from lading.settings import Settings, SettingsError
from lading_storage.protocols import MetadataStore


def open_publisher(settings: Settings, metadata: MetadataStore) -> Publisher:
    """Return the publisher of a registry. Raises SettingsError."""
    return Publisher(metadata, [*_topics(settings)], now)


def _topics(settings: Settings) -> list[Sink]:
    """Return the sinks of the topics. Without any, nothing of Google's is imported. Raises SettingsError."""
    if not settings.events_topic and not settings.notifications_topic:
        return []
    if not settings.url and not settings.embedded:
        raise SettingsError("events name the registry's address: set --url, the address that clients see")
    from lading.events.pubsub import CloudEvents, Notifications, PubSubSink

    topics = (
        ("events", settings.events_topic, CloudEvents(settings.realm)),
        ("notifications", settings.notifications_topic, Notifications(settings.realm)),
    )
    return [PubSubSink(name, topic, message_of) for name, topic, message_of in topics if topic]
