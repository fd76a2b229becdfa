"""Modules of an executable of Go, as its build information lists them (https://pkg.go.dev/debug/buildinfo).

Since Go 1.18 the information follows its magic bytes in place, so that no format of executables needs to be understood:
ELF, PE and Mach-O are read alike, and so is an executable that contains another one.
"""

from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from lading.scanning.extractors.executable import elf_section, find_all, is_executable
from lading.scanning.extractors.extractor import File
from lading.scanning.limits import MAX_EXECUTABLE, MIB
from lading.scanning.packages import GO, Package

MAGIC: Final = b"\xff Go buildinf:"
HEADER_SIZE: Final = 32
IS_INLINE: Final = 2
"""The bit of the flags that says that the strings follow the header."""
FLAGS: Final = 15
POINTER_SIZES: Final = (4, 8)
MAX_VERSION: Final = 256
MAX_MODULES: Final = MIB
"""Of the list of modules. Large executables have 50 KiB."""
MAX_FOUND: Final = 16
"""Occurrences of MAGIC. Programs that read build information contain it once more, as one that contains others does."""
SENTINEL: Final = bytes.fromhex("3077af0c9274080241e1c107e6d618e6")
"""The 16 bytes before the modules; as many others follow them."""
UPX: Final = b"UPX!"
DEVEL: Final = "(devel)"
"""The version of a main module that was built from a folder."""
LOCAL: Final = (".", "/", "\\")
STANDARD_LIBRARY: Final = "stdlib"
"""Its name in https://go.dev/security/vuln/database. Its version is Go's, without "go"."""


class GoBinary:
    """Reads which modules an executable of Go was built from, by Go 1.18 or newer.

    A replaced module is listed as what replaces it. One that a local folder replaces keeps its name, and its version
    is unknown, as that of a main module "(devel)".
    """

    name = "build information of Go"
    limit = MAX_EXECUTABLE

    def wants(self, path: str, size: int, head: bytes) -> bool:
        """Return whether the file is an executable."""
        return is_executable(head)

    def packages(self, file: File) -> Iterable[Package]:
        """Yield the modules, the main one and the standard library among them."""
        seen: set[tuple[str, str]] = set()
        found = False
        for index, offset in enumerate(find_all(file.content, MAGIC)):
            if index == MAX_FOUND:
                file.note(f"only the first {MAX_FOUND} lists of modules of Go were read")
                break
            for name, version in _modules(file, offset):
                found = True
                if (name, version) not in seen:
                    seen.add((name, version))
                    yield Package(type=GO, name=name, version=version, path=file.path)
        if not found:
            _note_unreadable(file)


def _modules(file: File, offset: int) -> Iterator[tuple[str, str]]:
    """Yield name and version of what the information at `offset` lists; nothing if it is none, only the bytes."""
    content = file.content
    content.seek(offset)
    header = content.read(HEADER_SIZE)
    if len(header) < HEADER_SIZE:
        return
    if not header[FLAGS] & IS_INLINE:
        if header[FLAGS - 1] in POINTER_SIZES and header[FLAGS] < IS_INLINE:
            file.note("built by Go before 1.18, whose modules cannot be read")
        return
    go_version = _string(content, MAX_VERSION).decode("ascii", "replace")
    if not go_version.startswith(("go", "devel ")):
        return
    number = go_version.split(" ")[0]
    yield STANDARD_LIBRARY, number.removeprefix("go") if number.startswith("go") else ""
    text = _string(content, MAX_MODULES)
    if text.startswith(SENTINEL):
        yield from _listed(text[len(SENTINEL) : -len(SENTINEL)].decode("utf-8", "replace"))
    else:
        file.note("built by Go without a list of modules, so only its standard library is known")


def _string(content: BinaryIO, limit: int) -> bytes:
    """Return a string after its length (https://pkg.go.dev/encoding/binary#Uvarint), or b"" if it is longer."""
    length = 0
    for shift in range(0, 35, 7):
        byte = int.from_bytes(content.read(1))
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return content.read(length) if length <= limit else b""


def _listed(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and version of each line "dep" or "mod", or of the line "=>" after it, which replaces it."""
    name = version = ""
    for line in text.split("\n"):
        kind, *fields = line.split("\t")
        if kind == "=>" and fields:
            if fields[0].startswith(LOCAL) or ":" in fields[0]:
                version = ""
            else:
                name, version = fields[0], _version(fields)
            continue
        if name:
            yield name, version
            name = ""
        if kind in ("dep", "mod") and fields:
            name, version = fields[0], _version(fields)
    if name:
        yield name, version


def _version(fields: list[str]) -> str:
    version = fields[1] if len(fields) > 1 else ""
    return "" if version == DEVEL else version


def _note_unreadable(file: File) -> None:
    """Note what an executable that declares nothing may contain nevertheless."""
    file.content.seek(0)
    if UPX in file.content.read(1024):
        file.note("packed by UPX, so it is unknown what it was built from")
    elif elf_section(file.content, b".gopclntab"):
        file.note("built by Go without build information, so its modules are unknown")
