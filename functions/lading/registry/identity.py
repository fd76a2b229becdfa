"""The identity of a registry: 128 random bits, by which a backup knows whose it is."""

import secrets
from dataclasses import replace
from typing import Final

from lading.registry.change_context import Clock, now
from lading.registry.retry import retry_on_conflict
from lading_storage.protocols import Create, MetadataStore, Replace
from lading_storage.records.core import Key
from lading_storage.records.jobs import Identity

ID: Final = "registry"
"""The id of the one record of this kind."""


def identity_of(metadata: MetadataStore, clock: Clock = now) -> str:
    """Return the registry's identity; one of a release that had none gets it now."""
    return retry_on_conflict(lambda: _read_or_make(metadata, clock))


def known_identity(metadata: MetadataStore) -> str:
    """Return the registry's identity, or "" where it has none yet."""
    key = Key(Identity, ID)
    found = metadata.read([key])[key]
    return found.registry if found else ""


def replace_identity(metadata: MetadataStore, clock: Clock = now) -> str:
    """Give the registry another identity, and return it: a copy that goes its own way is another registry."""

    def attempt() -> str:
        key = Key(Identity, ID)
        found, new = metadata.read([key])[key], _new(clock)
        metadata.commit([_over(found, new)])
        return new.registry

    return retry_on_conflict(attempt)


def _read_or_make(metadata: MetadataStore, clock: Clock) -> str:
    if known := known_identity(metadata):
        return known
    new = _new(clock)
    metadata.commit([Create(new)])
    return new.registry


def _new(clock: Clock) -> Identity:
    return Identity(id=ID, registry=secrets.token_hex(16), created=clock())


def _over(found: Identity | None, new: Identity) -> Create | Replace:
    return Create(new) if found is None else Replace(replace(new, version=found.version))
