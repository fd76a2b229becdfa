"""Causes: what was to be deleted when something went, as `kind:name`. What has one cause goes and comes back together.

    tag:v1  manifest:sha256:…  repository:team/app

Releases before this one wrote the name alone. A digest can only be a manifest's; of a deleted tag, its own name is
taken for the tag, and anything else for the repository.
"""

from functools import partial
from typing import Final

from lading_storage.digests import is_digest
from lading_storage.records.deleted import DeletedManifest, DeletedTag

TAG: Final = "tag"
MANIFEST: Final = "manifest"
REPOSITORY: Final = "repository"


def _cause(kind: str, name: str) -> str:
    return f"{kind}:{name}"


of_tag = partial(_cause, TAG)
of_manifest = partial(_cause, MANIFEST)
of_repository = partial(_cause, REPOSITORY)


def cause_of(thing: DeletedManifest | DeletedTag) -> str:
    """Return the cause of a deleted thing, with its kind."""
    if is_digest(thing.cause):
        return of_manifest(thing.cause)
    if ":" in thing.cause:
        return thing.cause
    own = isinstance(thing, DeletedTag) and thing.cause == thing.id
    return of_tag(thing.cause) if own else of_repository(thing.cause)


def stored_forms(cause: str) -> tuple[str, str]:
    """Return how a cause can be written in a record: as today, and as releases before this one did."""
    return cause, cause.partition(":")[2]
