"""Dump: the zip file with all records of an ecosystem, read one after another within limits.

The file comes from another service, or from a folder: what it says about itself is not believed.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MAX_DIRECTORY: Final = 64 * 1024 * 1024
"""Bytes of the zip file's directory, which is held in memory: the one of npm, with 250,000 records, has some 20 MB."""

MAX_RECORD: Final = 8 * 1024 * 1024
"""Bytes of a record. As JSON it can take 25 times as much memory."""

MAX_TOTAL: Final = 16 * 1024**3
"""Bytes of all records: members of a zip file can share their compressed bytes."""


class DumpError(Exception):
    """A dump cannot be read, or exceeds a limit; the message is a clause that says why."""


class _File(io.BufferedReader):
    """File that refuses to read more at once than a directory may have."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read bytes. Raises BadZipFile."""
        if size is not None and size > MAX_DIRECTORY:
            # zipfile reads the directory by one call, whatever size its end record names.
            raise zipfile.BadZipFile("its directory is too large")
        return super().read(size)


def records(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield the members of a dump that are records, by their names: the name, and the content or None if it is damaged.

    Raises:
        DumpError: see there.
    """
    total = 0
    try:
        with _File(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
            members = [each for each in archive.infolist() if each.filename.endswith(".json")]
            for member in sorted(members, key=lambda each: each.filename):
                content = _content(archive, member)
                # No more is decompressed than the directory names.
                total += min(member.file_size, MAX_RECORD)
                if total > MAX_TOTAL:
                    raise DumpError(f"it has more than {MAX_TOTAL} bytes of records")
                yield member.filename, content
    except OSError as error:
        raise DumpError(f"it cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise DumpError(f"it is not a zip file that can be read: {error}") from None


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | None:
    """Return the content of a member, or None if it is damaged, encrypted or too large."""
    try:
        with archive.open(member) as file:
            content = file.read(MAX_RECORD + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError, struct.error):
        return None
    return content if len(content) <= MAX_RECORD else None
