"""A metadata store that takes less in a commit than the real one does."""

from collections.abc import Sequence

from lading_storage.commit_size import size_of
from lading_storage.errors import TooLarge
from lading_storage.protocols import MetadataStore, Write
from tests.races.between import Between


class Small(Between):
    """Passes every call on, and refuses commits of more than `most` bytes, as Firestore counts them.

    refused  how many commits were too large
    """

    def __init__(self, inner: MetadataStore, most: int) -> None:
        super().__init__(inner)
        self.most = most
        self.refused = 0

    def commit(self, writes: Sequence[Write]) -> None:
        if size_of(writes) > self.most:
            self.refused += 1
            raise TooLarge(f"{size_of(writes)} bytes, of {self.most}")
        super().commit(writes)
