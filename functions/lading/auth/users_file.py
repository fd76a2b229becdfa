"""Updates of the users file: by `lading users`, by the first start, and by a login that replaces a weak hash.

Each update holds a lock on the file's folder from read to write, so no update is lost, and replaces the file
atomically: a server that reads meanwhile gets the old version or the new one. Unchanged lines, comments included, stay
as they are. A concurrent save by an editor may be overwritten, since editors take no lock.
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
    """A users file, which may be absent.

    Methods raise OSError, and FileInvalid if the result would be invalid, before anything is written.
    """

    def __init__(self, path: Path) -> None:
        """Update the file at `path`, or the target of the link there."""
        self._path = path.resolve()

    def names(self) -> list[str]:
        """Return the names of the users."""
        return list(read_users(self._text()).hashes)

    def set(self, name: str, hashed: str) -> None:
        """Add a user, or replace the user's hash."""
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
        """Replace a user's hash and return True, or return False if it is no longer `old`.

        Returns False if the lock is held, too: a login must not wait.
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
    """Write `text` to a new file beside `path` that only its owner may read, flush it to disk, and return its path."""
    new = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    return new


@contextmanager
def folder_lock(folder: Path, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on a folder until the block ends. The system releases it if the process is killed.

    Raises BlockingIOError if the lock is held by another process and `wait` is false.
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
    """Give `new` the mode and, if permitted, the owner of `old`: server and command may run as different users."""
    status = old.stat()
    # The owner first: a change of owner clears bits of the mode.
    with suppress(PermissionError):
        os.chown(new, status.st_uid, status.st_gid)
    new.chmod(status.st_mode & 0o7777)
