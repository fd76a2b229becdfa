"""Layers for tests, made of files, links and whiteouts."""

import gzip
import io
import tarfile
from collections.abc import Mapping

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
