"""Composition of the publisher: its sinks, as the settings name them."""

from lading.events.publisher import Publisher
from lading.events.sink import Sink
from lading.registry.change_context import now
from lading.settings import Settings
from lading.webhook_composition import open_webhook_sink
from lading_storage.protocols import MetadataStore


def open_publisher(settings: Settings, metadata: MetadataStore) -> Publisher:
    """Return the publisher of a registry. Raises SettingsError.

    Args:
        settings: name the topics.
        metadata: the registry's store.
    """
    sinks = [*_topics(settings), open_webhook_sink(settings, metadata)]
    return Publisher(metadata, sinks, now)


def _topics(settings: Settings) -> list[Sink]:
    """Return the sinks of the topics. Without any, nothing of Google's is imported. Raises SettingsError."""
    if not settings.events_topic and not settings.notifications_topic:
        return []
    from lading.events.pubsub import CloudEvents, Notifications, PubSubSink

    topics = (
        ("events", settings.events_topic, CloudEvents(settings.events_url)),
        ("notifications", settings.notifications_topic, Notifications(settings.events_url)),
    )
    return [PubSubSink(name, topic, message_of) for name, topic, message_of in topics if topic]
