"""A cache of Google's replies about managed folders, for some seconds."""

from collections.abc import Callable
from dataclasses import dataclass

from lading.auth.access import Action
from lading.auth.cache import ResultCache
from lading.auth.google.subject import IamSubject


@dataclass(frozen=True, slots=True)
class FolderPermissions:
    """What a caller may do in a folder.

    exists   false where there is no such folder, for this caller
    actions  that are granted on it or above
    """

    exists: bool
    actions: frozenset[Action]


class FolderCache:
    """Answers by folder. Any thread may use it.

    What is granted counts for the very token that asked. Where nothing is, that counts for all tokens of the principal:
    it cannot ask once more by fetching another token.
    """

    def __init__(self) -> None:
        """Remember nothing yet."""
        # Short for both: decisions that allow something are remembered for longer where they are made.
        self._granted: ResultCache[tuple[bytes, str], FolderPermissions] = ResultCache(lambda _: False)
        self._denied: ResultCache[tuple[str, str], FolderPermissions] = ResultCache(lambda _: False)

    def get(self, subject: IamSubject, folder: str, load: Callable[[], FolderPermissions]) -> FolderPermissions:
        """Return the answer: remembered, or what `load` returns."""
        known = self._granted.peek((subject.hashed, folder)) or self._denied.peek((subject.principal, folder))
        if known is not None:
            return known
        answer = load()
        if answer.actions:
            return self._granted.put((subject.hashed, folder), answer)
        return self._denied.put((subject.principal, folder), answer)
