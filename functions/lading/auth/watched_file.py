"""Users file or grants file that is reloaded when it changes."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from lading.auth.access_files import FileInvalid

T = TypeVar("T")

log = logging.getLogger("lading")


class WatchedFile(Generic[T]):
    """The parsed content of a file. If a new version is invalid or unreadable, the previous one stays in force.

    Each such version is logged as one error, with a field for a metric. Thread-safe.
    """

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        """Load the file, which may be absent. Raises FileInvalid."""
        self._path = path
        self._parse = parse
        self._lock = threading.Lock()
        self._loaded_state = self._state()
        self._value = read_file(path, parse)

    @property
    def value(self) -> T:
        """The parsed content of the last valid version."""
        with self._lock:
            state = self._state()
            if state != self._loaded_state:
                self._loaded_state = state
                self._reload()
            return self._value

    def _reload(self) -> None:
        try:
            self._value = read_file(self._path, self._parse)
        except FileInvalid as error:
            text = f"{self._path.name} is invalid; the previous version stays in force: {error}"
            log.error("%s", text, extra={"fields": {"message": text, "refused_file": self._path.name}})

    def _state(self) -> object:
        """Return a value that changes when the content or the permissions of the file change."""
        try:
            status = self._path.stat()
        except OSError as error:
            return error.errno
        return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def read_file(path: Path, parse: Callable[[str], T]) -> T:
    """Return the content of a file, parsed by `parse`. An absent file counts as empty. Raises FileInvalid."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise FileInvalid(f"cannot read {path}: {error.strerror}") from error
    try:
        return parse(content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileInvalid(f"line {line} of {path} is not UTF-8") from error
