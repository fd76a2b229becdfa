"""Order of deployments: the sequence of the last deployed event of each tag is an annotation of the target.

    lading.dev/sequence.{hash of the reference}: {sequence}

Of a target with several containers, each has its own: two rules may deploy one event to two containers.

It is written in the same update as the image, on condition that the target has not changed since it was read. So an
event is deployed once, an older one never after it, and nothing else has to be stored.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from deployer.events import TagMoved

PREFIX: Final = "lading.dev/sequence."

MAX_REFERENCES: Final = 32
"""Annotations on one target. A rule such as `v*` deploys any number of tags, and Kubernetes limits the annotations of
an object to 256 KiB in total, so only the latest are kept."""


def reference_hash(event: TagMoved, container: str = "") -> str:
    """Return 16 hexadecimal digits that stand for the event's tag, for names that allow few characters.

    Args:
        event: the event.
        container: that the tag is deployed to; "" where the target has one.
    """
    reference = f"{event.host}/{event.repository}:{event.tag}" + (f" {container}" if container else "")
    return hashlib.sha256(reference.encode()).hexdigest()[:16]


def key(event: TagMoved, container: str = "") -> str:
    """Return the name of the annotation of the event's tag."""
    return PREFIX + reference_hash(event, container)


def is_new(annotations: Mapping[str, str], event: TagMoved, container: str = "") -> bool:
    """Return whether an event is later than what was deployed last.

    For a tag without an annotation on a target that has no room for another, that is the oldest annotation: its own may
    have been removed.
    """
    kept = _kept(annotations)
    last = kept.get(key(event, container), min(kept.values()) if len(kept) >= MAX_REFERENCES else "")
    return event.sequence > last


def changes(annotations: Mapping[str, str], event: TagMoved, container: str = "") -> dict[str, str | None]:
    """Return what to change in the annotations of a target to which the event is being deployed; None removes one."""
    kept = {**_kept(annotations), key(event, container): event.sequence}
    oldest = sorted(kept, key=lambda name: kept[name])[: max(0, len(kept) - MAX_REFERENCES)]
    return {key(event, container): event.sequence, **dict.fromkeys(oldest)}


def _kept(annotations: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in annotations.items() if name.startswith(PREFIX)}
