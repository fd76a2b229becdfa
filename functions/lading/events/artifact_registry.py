"""Events as Artifact Registry's notifications, for consumers that were written for its topic `gcr`.

https://cloud.google.com/artifact-registry/docs/configure-notifications#examples
"""

from urllib.parse import urlsplit

from lading.registry.events import event_types
from lading_storage.records.events import Event


def notification(event: Event, registry_url: str) -> dict[str, str] | None:
    """Return the notification of an event, or None if Artifact Registry sends none.

    A tagged push is one notification, with tag and digest: that of its tag.

    Args:
        event: the event.
        registry_url: the address of the registry that clients see, as in https://registry.example.com.
    """
    name = f"{urlsplit(registry_url).netloc}/{event.target}"
    digest, tag = f"{name}@{event.digest}", f"{name}:{event.tag}"
    match event.type:
        case event_types.IMAGE_PUSHED if not event.tagged:
            return {"action": "INSERT", "digest": digest}
        case event_types.TAG_MOVED:
            return {"action": "INSERT", "digest": digest, "tag": tag}
        case event_types.TAG_DELETED:
            return {"action": "DELETE", "tag": tag}
        case event_types.IMAGE_DELETED:
            return {"action": "DELETE", "digest": digest}
    return None
