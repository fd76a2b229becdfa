"""Listing the objects that a folder holds: in the order of their names, and nothing that is no object.

Other programs leave files where they like (`.DS_Store`, `.nfs0…`, `lost+found`): those are told apart by their names
and by what they are, and are listed on their own.
"""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from lading_storage.protocols import PART, UPLOAD_ID

SHARD: Final = 2
"""Characters of an upload's id by which uploads are spread over folders."""

LAYOUT_FILE: Final = "LAYOUT"


class Entries(NamedTuple):
    """The names in one folder."""

    folders: list[str]
    files: list[str]


class ObjectFolders:
    """The folders `<first two of the id>/<upload id>` below a root."""

    def __init__(self, root: Path) -> None:
        """List what is below `root`."""
        self._root = root
        # Where a listing of everything goes on: by its prefix and the last name that it has given. One at most, so
        # that a folder is read once for a whole listing, and not once for each page.
        self._going_on: dict[tuple[str, str], Iterator[str]] = {}

    def names(self, prefix: str, after: str, limit: int) -> list[str]:
        """Return the first `limit` names that begin with `prefix` and sort behind `after`, sorted."""
        names = self._going_on.pop((prefix, after), None) or self._names(prefix, after)
        found = list(islice(names, limit))
        # An upload's own folder is small, and must show what has come since the page before.
        if found and len(found) == limit and "/" not in prefix:
            self._going_on.clear()
            self._going_on[(prefix, found[-1])] = names
        return found

    def strays(self, limit: int) -> list[str]:
        """Return the paths, below the root, of the first `limit` files and folders that are no part of the layout."""
        return list(islice(self._strays(), limit))

    def _names(self, prefix: str, after: str) -> Iterator[str]:
        for shard in self._shards(prefix, after):
            for upload in self._uploads(shard, prefix, after):
                parts = filter(PART.fullmatch, _entries(self._root / shard / upload).files)
                names = (f"{upload}/{part}" for part in sorted(parts))
                yield from (name for name in names if name > after and name.startswith(prefix))

    def _shards(self, prefix: str, after: str) -> list[str]:
        if len(prefix) >= SHARD:
            return [prefix[:SHARD]]
        shards = filter(_is_shard, _entries(self._root).folders)
        return sorted(each for each in shards if each.startswith(prefix) and each >= after[:SHARD])

    def _uploads(self, shard: str, prefix: str, after: str) -> list[str]:
        """The uploads of a shard, in the order of their objects' names: "a-b/0" sorts before "a/0"."""
        upload, slash, _ = prefix.partition("/")
        if slash:
            return [upload] if _is_upload(upload, shard) else []
        begin = after.partition("/")[0] + "/"
        uploads = (each + "/" for each in _entries(self._root / shard).folders if _is_upload(each, shard))
        return [each[:-1] for each in sorted(uploads) if each.startswith(prefix) and each >= begin]

    def _strays(self) -> Iterator[str]:
        folders, files = _entries(self._root)
        shards = set(filter(_is_shard, folders))
        yield from sorted({*folders, *files} - shards - {LAYOUT_FILE})
        for shard in sorted(shards):
            folders, files = _entries(self._root / shard)
            uploads = {each for each in folders if _is_upload(each, shard)}
            yield from (f"{shard}/{each}" for each in sorted({*folders, *files} - uploads))
            for upload in sorted(uploads):
                folders, files = _entries(self._root / shard / upload)
                strays = [*folders, *(each for each in files if not PART.fullmatch(each))]
                yield from (f"{shard}/{upload}/{each}" for each in sorted(strays))


def _is_shard(name: str) -> bool:
    return len(name) == SHARD and bool(UPLOAD_ID.fullmatch(name))


def _is_upload(name: str, shard: str) -> bool:
    return name.startswith(shard) and bool(UPLOAD_ID.fullmatch(name))


def _entries(folder: Path) -> Entries:
    """What is in `folder`: nothing where it has just been removed, or is no folder."""
    found = Entries([], [])
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                (found.folders if entry.is_dir() else found.files).append(entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return Entries([], [])
    return found
