"""Listing of the objects in a folder, in the order of their names.

Other programs leave files in any folder (`.DS_Store`, `.nfs0…`, `lost+found`). These are recognized by their names and
types, omitted from listings of objects, and listed separately.
"""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from lading_storage.protocols import PART, UPLOAD_ID

SHARD: Final = 2
"""Length of the prefix of an upload's id that names the folder of the upload."""

LAYOUT_FILE: Final = "LAYOUT"


class Entries(NamedTuple):
    """The names in one folder."""

    folders: list[str]
    files: list[str]


class ObjectFolders:
    """The folders `<first two characters of the id>/<upload id>` below a root."""

    def __init__(self, root: Path) -> None:
        """List objects below `root`."""
        self._root = root
        # The iterator of an unfinished listing, by its prefix and the last name that it returned. At most one entry.
        # With it, a paginated listing reads each folder once in all, and not once per page.
        self._unfinished: dict[tuple[str, str], Iterator[str]] = {}

    def names(self, prefix: str, after: str, limit: int) -> list[str]:
        """Return the first `limit` names, sorted, that start with `prefix` and sort after `after`."""
        names = self._unfinished.pop((prefix, after), None) or self._names(prefix, after)
        page = list(islice(names, limit))
        # Not for the folder of one upload: it is small, and a page must include files added since the previous page.
        if page and len(page) == limit and "/" not in prefix:
            self._unfinished.clear()
            self._unfinished[(prefix, page[-1])] = names
        return page

    def strays(self, limit: int) -> list[str]:
        """Return the paths, relative to the root, of the first `limit` foreign files and folders."""
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
        """Return the uploads of a shard, in the order of their objects' names: "a-b/0" sorts before "a/0"."""
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
    """Return the names in `folder`; none if it was just removed, or is not a folder."""
    names = Entries([], [])
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                (names.folders if entry.is_dir() else names.files).append(entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return Entries([], [])
    return names
