"""Identity of a registry: 128 random bits, by which a backup recognizes the registry that it belongs to."""

import secrets
from dataclasses import replace
from typing import Final

from lading.registry.change_context import Clock, now
from lading.registry.retry import retry_on_conflict
from lading_storage.protocols import Create, MetadataStore, Replace
from lading_storage.records.core import Key
from lading_storage.records.jobs import Identity

ID: Final = "registry"
"""Id of the only record of this kind."""


def identity_of(metadata: MetadataStore, clock: Clock = now) -> str:
    """Return the registry's identity; create it if the registry is of a release that had none."""
    return retry_on_conflict(lambda: _read_or_create(metadata, clock))


def known_identity(metadata: MetadataStore) -> str:
    """Return the registry's identity, or "" if it has none yet."""
    key = Key(Identity, ID)
    record = metadata.read([key])[key]
    return record.registry if record else ""


def replace_identity(metadata: MetadataStore, clock: Clock = now) -> str:
    """Give the registry a new identity, and return it: a copy that is served on its own is another registry."""

    def attempt() -> str:
        key = Key(Identity, ID)
        current, new = metadata.read([key])[key], _new(clock)
        metadata.commit([_upsert(current, new)])
        return new.registry

    return retry_on_conflict(attempt)


def _read_or_create(metadata: MetadataStore, clock: Clock) -> str:
    if known := known_identity(metadata):
        return known
    new = _new(clock)
    metadata.commit([Create(new)])
    return new.registry


def _new(clock: Clock) -> Identity:
    return Identity(id=ID, registry=secrets.token_hex(16), created=clock())


def _upsert(current: Identity | None, new: Identity) -> Create | Replace:
    return Create(new) if current is None else Replace(replace(new, version=current.version))
