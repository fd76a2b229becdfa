"""A file of users or of grants, read again when it changes."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from lading.auth.access_files import FileInvalid

T = TypeVar("T")

log = logging.getLogger("lading")


class WatchedFile(Generic[T]):
    """What a file says. One that is wrong, or cannot be read, while the registry serves, changes nothing.

    Each refusal is one error in the log, with a field from which a metric can be made. Any thread may use it.
    """

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        """Read the file, which may be absent. Raises FileInvalid."""
        self._path = path
        self._parse = parse
        self._lock = threading.Lock()
        self._seen = self._state()
        self._value = read_file(path, parse)

    @property
    def value(self) -> T:
        """What the file says, or last said."""
        with self._lock:
            state = self._state()
            if state != self._seen:
                self._seen = state
                self._reload()
            return self._value

    def _reload(self) -> None:
        try:
            self._value = read_file(self._path, self._parse)
        except FileInvalid as error:
            text = f"{self._path.name} is refused, and what it said before stays in force: {error}"
            log.error("%s", text, extra={"fields": {"message": text, "refused_file": self._path.name}})

    def _state(self) -> object:
        """Return what changes when the file does: by how it is written, or by who may read it."""
        try:
            status = self._path.stat()
        except OSError as error:
            return error.errno
        return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def read_file(path: Path, parse: Callable[[str], T]) -> T:
    """Return what a file says, as `parse` reads it; one that is absent says "". Raises FileInvalid."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise FileInvalid(f"{path} cannot be read: {error.strerror}") from error
    try:
        return parse(content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileInvalid(f"line {line} of {path} is not UTF-8") from error
