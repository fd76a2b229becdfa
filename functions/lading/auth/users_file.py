"""The file of users, as it is changed: by `lading users`, by a first start, and by a login that replaces a cheap hash.

Each change holds the lock of the file's folder from reading to writing, so none undoes another, and puts a new file in
the place of the old one at once: a server that reads it meanwhile reads all of the one or of the other. Lines that are
not changed stay as they are, comments among them. What an editor saves meanwhile is not seen: it knows no lock.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lading.auth.access_files import FileInvalid, read_users
from lading_storage.local.durable_folders import FILE_MODE, make_private


class UsersFile:
    """A file of users, which may be absent.

    Methods raise OSError, and FileInvalid, before anything is written, where the result would not be a file of users.
    """

    def __init__(self, path: Path) -> None:
        """Change the file at `path`, or the one that it is a link to."""
        self._path = path.resolve()

    def names(self) -> list[str]:
        """Return the users."""
        return list(read_users(self._text()).hashes)

    def set(self, name: str, hashed: str) -> None:
        """Add a user, or give one another hash."""
        make_private(self._path.parent)
        with folder_lock(self._path.parent):
            kept = [line for line in self._lines() if _name(line) != name]
            self._write([*kept, f"{name}:{hashed}"])

    def remove(self, name: str) -> bool:
        """Remove a user; return whether there was one."""
        if not self._path.parent.is_dir():
            return False
        with folder_lock(self._path.parent):
            lines = self._lines()
            kept = [line for line in lines if _name(line) != name]
            if len(kept) < len(lines):
                self._write(kept)
            return len(kept) < len(lines)

    def replace(self, name: str, old: str, new: str) -> bool:
        """Replace a user's hash; return False, and change nothing, where it is not `old` any more.

        Waits for no lock: a login must not.
        """
        with suppress(BlockingIOError), folder_lock(self._path.parent, wait=False):
            lines = self._lines()
            changed = [f"{name}:{new}" if line.strip(" \t\r") == f"{name}:{old}" else line for line in lines]
            if changed != lines:
                self._write(changed)
            return changed != lines
        return False

    def _text(self) -> str:
        try:
            return self._path.read_bytes().decode()
        except FileNotFoundError:
            return ""
        except UnicodeDecodeError:
            raise FileInvalid(f"{self._path} is not UTF-8") from None

    def _lines(self) -> list[str]:
        return self._text().removesuffix("\n").split("\n") if self._text() else []

    def _write(self, lines: list[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        read_users(text)
        new = write_beside(self._path, text)
        try:
            with suppress(FileNotFoundError):
                _copy_owner(self._path, new)
            new.replace(self._path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise


def write_beside(path: Path, text: str) -> Path:
    """Write `text` to a new file beside `path` that only its owner may read, flush it, and return it."""
    new = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    return new


@contextmanager
def folder_lock(folder: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a folder until the block ends. The system releases it where the process is killed.

    Raises BlockingIOError where it is taken and `wait` is false.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def _name(line: str) -> str:
    return line.strip(" \t\r").partition(":")[0]


def _copy_owner(old: Path, new: Path) -> None:
    """Give `new` the mode and, where we may, the owner of `old`: a server may run as another user than the command."""
    status = old.stat()
    # The owner first: a change of owner takes bits of the mode away.
    with suppress(PermissionError):
        os.chown(new, status.st_uid, status.st_gid)
    new.chmod(status.st_mode & 0o7777)
