"""A metadata store that takes less in a commit than the real one does."""

from collections.abc import Sequence

from lading_storage.commit_size import size_of
from lading_storage.errors import TooLarge
from lading_storage.forwarding import ForwardingMetadata
from lading_storage.protocols import MetadataStore, Write


class CommitLimitStore(ForwardingMetadata):
    """Passes every call on, and refuses commits of more than `max_size` bytes, as Firestore counts them.

    refused  how many commits were too large
    """

    def __init__(self, store: MetadataStore, max_size: int) -> None:
        super().__init__(store)
        self.max_size = max_size
        self.refused = 0

    def commit(self, writes: Sequence[Write]) -> None:
        if size_of(writes) > self.max_size:
            self.refused += 1
            raise TooLarge(f"{size_of(writes)} bytes, of {self.max_size}")
        super().commit(writes)
