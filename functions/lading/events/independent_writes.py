"""Commit writes that do not depend on one another, in as few commits as possible."""

from collections.abc import Sequence

from lading.registry.batches import in_batches
from lading.registry.retry import try_to_commit
from lading_storage.protocols import MetadataStore, Write


def commit_independent(metadata: MetadataStore, writes: Sequence[Write]) -> None:
    """Commit writes; those whose records have changed meanwhile are left out."""

    def commit(batch: Sequence[Write]) -> None:
        if not try_to_commit(metadata, *batch):
            for each in batch:
                try_to_commit(metadata, each)

    in_batches(writes, commit)
