"""Cause of a deletion: the subject of the request, as `kind:name`. Items with one cause are restored together.

    tag:v1  manifest:sha256:…  repository:team/app

Earlier releases wrote the name alone. A digest is then a manifest's; on a deleted tag, its own name is the tag's, and
any other name the repository's.
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


def cause_of(tombstone: DeletedManifest | DeletedTag) -> str:
    """Return the cause on a tombstone, with its kind."""
    if is_digest(tombstone.cause):
        return of_manifest(tombstone.cause)
    if ":" in tombstone.cause:
        return tombstone.cause
    own = isinstance(tombstone, DeletedTag) and tombstone.cause == tombstone.id
    return of_tag(tombstone.cause) if own else of_repository(tombstone.cause)


def stored_forms(cause: str) -> tuple[str, str]:
    """Return the forms in which a cause can be stored: the current one, and that of earlier releases."""
    return cause, cause.partition(":")[2]
