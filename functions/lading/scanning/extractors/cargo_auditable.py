"""Crates of an executable of Rust, as cargo auditable lists them in it.

The format: https://github.com/rust-secure-code/cargo-auditable/blob/master/PARSING.md.
"""

import zlib
from collections.abc import Iterable
from typing import Final

from lading.scanning.extractors.executable import ELF, elf_section, is_executable
from lading.scanning.extractors.extractor import File
from lading.scanning.extractors.json_content import loads, mapping, sequence, text
from lading.scanning.limits import MAX_EXECUTABLE, MAX_TEXT
from lading.scanning.packages import CARGO, Package

SECTION: Final = b".dep-v0"
BUILD: Final = "build"
"""The kind of crates that ran in the build only."""


class CargoAuditable:
    """Reads the section of ELF files in which cargo auditable lists the crates."""

    name = "list of cargo auditable"
    limit = MAX_EXECUTABLE

    def wants(self, path: str, size: int, head: bytes) -> bool:
        """Return whether the file is an executable of Linux."""
        return head.startswith(ELF) and is_executable(head)

    def packages(self, file: File) -> Iterable[Package]:
        """Yield the crates that are in the executable, its own among them."""
        section = elf_section(file.content, SECTION)
        if not section:
            return
        offset, size = section
        file.content.seek(offset)
        for each in sequence(mapping(loads(_decompress(file.content.read(min(size, MAX_TEXT))))).get("packages")):
            crate = mapping(each)
            if text(crate.get("name")) and crate.get("kind") != BUILD:
                yield Package(type=CARGO, name=text(crate["name"]), version=text(crate.get("version")), path=file.path)


def _decompress(data: bytes) -> bytes:
    decompressor = zlib.decompressobj()
    result = decompressor.decompress(data, MAX_TEXT)
    if not decompressor.eof:
        raise ValueError(f"the section {SECTION.decode()} is cut off, or contains more than {MAX_TEXT:,} bytes")
    return result
