"""Cache of IAM permissions on managed folders, with a TTL of seconds."""

from collections.abc import Callable
from dataclasses import dataclass

from lading.auth.access import Action
from lading.auth.cache import ResultCache
from lading.auth.google.subject import IamSubject


@dataclass(frozen=True, slots=True)
class FolderPermissions:
    """A caller's permissions on a folder.

    exists   whether Google reported the folder to this caller as existing
    actions  actions that are granted on it or on a parent
    """

    exists: bool
    actions: frozenset[Action]


class FolderCache:
    """Cache of permissions by folder. Thread-safe.

    Granted permissions are cached per token. The absence of any is cached per principal, so a principal cannot force
    another query with a fresh token.
    """

    def __init__(self) -> None:
        """Start empty."""
        # The short TTL for both: positive decisions have a longer one in IamAuthorizer.
        self._granted: ResultCache[tuple[bytes, str], FolderPermissions] = ResultCache(lambda _: False)
        self._denied: ResultCache[tuple[str, str], FolderPermissions] = ResultCache(lambda _: False)

    def get(self, subject: IamSubject, folder: str, load: Callable[[], FolderPermissions]) -> FolderPermissions:
        """Return the cached permissions, or else cache and return the result of `load`."""
        cached = self._granted.peek((subject.hashed, folder)) or self._denied.peek((subject.principal, folder))
        if cached is not None:
            return cached
        permissions = load()
        if permissions.actions:
            return self._granted.put((subject.hashed, folder), permissions)
        return self._denied.put((subject.principal, folder), permissions)
