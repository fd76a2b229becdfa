"""Layers for tests, made of files, links and whiteouts."""

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from types import MappingProxyType

from lading.scanning.layer_reader import read_layer
from lading.scanning.packages import LayerPackages

STATUS = "var/lib/dpkg/status"
INSTALLED = "lib/apk/db/installed"


def member(name: str, content: bytes = b"", *, type: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """Return a member of a layer."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.type = type
    info.linkname = link
    return info


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Return a layer of these members, in this order; a path may occur twice."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """Return a layer of these files."""
    return tar(*((member(name, content), content) for name, content in files.items()))


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.SYMTYPE, link=target), b""


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.LNKTYPE, link=target), b""


def layer_of(files: Mapping[str, bytes]) -> LayerPackages:
    """Return what a layer of these files declares."""
    return read(gzip.compress(tar_of(files), 1))


def read(blob: bytes) -> LayerPackages:
    """Return what a layer as stored declares."""
    return read_layer(io.BytesIO(blob), len(blob))


def names(layer: LayerPackages) -> list[str]:
    """Return "name version" of all packages of a layer."""
    return [f"{each.name} {each.version}" for packages in layer.packages.values() for each in packages]


def status(*packages: str) -> bytes:
    """Return a database of dpkg with these packages, "name version" each."""
    return b"\n".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n".encode()
        for name, _, version in (each.partition(" ") for each in packages)
    )


def installed(*packages: str) -> bytes:
    """Return a database of apk with these packages, "name version" each."""
    return b"\n".join(
        f"P:{name}\nV:{version}\nA:x86_64\nL:MIT\n".encode()
        for name, _, version in (each.partition(" ") for each in packages)
    )


def declared(path: str, content: bytes) -> list[str]:
    """Return "name version" of all packages of a layer with one file, of which everything could be read."""
    layer = read(tar_of({path: content}))
    assert layer.notes == ()
    return names(layer)


def noted(path: str, content: bytes) -> str:
    """Return the only note of a layer with one file."""
    (note,) = read(tar_of({path: content})).notes
    return note


def executable(content: bytes = b"", sections: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """Return a file that looks like an executable of Linux, with this content and these sections."""
    data = {
        "": b"",
        ".shstrtab": b"\0".join([b"", *(each.encode() for each in sections), b".shstrtab", b""]),
        **sections,
    }
    offset, table = 64, b""
    for name, section in data.items():
        name_at = data[".shstrtab"].index(f"\0{name}\0".encode()) + 1 if name else 0
        table += struct.pack("<IIQQQQ24x", name_at, 1, 0, 0, offset, len(section))
        offset += len(section)
    header = struct.pack(
        "<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 2, 62, 1, 0, 0, offset, 0, 64, 56, 0, 64, len(data), 1
    )
    return header + b"".join(data.values()) + table + content


def jar(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive of these members."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()
