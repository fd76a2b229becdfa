"""What a layer declares as JSON, and as the compressed bytes that are kept of it."""

import gzip
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from lading.scanning.packages import Distribution, LayerPackages, Package

EXTRACTOR_VERSION: Final = 2
"""Grows when extraction changes, so that layers which were read before are read again."""


def encode(layer: LayerPackages) -> bytes:
    """Return a layer as gzipped JSON, equal for equal layers."""
    return gzip.compress(json.dumps(to_json(layer), separators=(",", ":")).encode(), mtime=0)


def decode(content: bytes) -> LayerPackages:
    """Return the layer of `encode`."""
    return from_json(json.loads(gzip.decompress(content)))


def decoded_size(content: bytes) -> int:
    """Return the bytes of the JSON in what `encode` returned (RFC 1952, ISIZE)."""
    return int.from_bytes(content[-4:], "little")


def to_json(layer: LayerPackages) -> dict[str, Any]:
    """Return a layer as JSON, without what is empty. A package has no path where it is the path of its file."""
    distribution = layer.distribution
    value = {
        "packages": {path: [_package(path, each) for each in found] for path, found in layer.packages.items()},
        "removed": list(layer.removed),
        "opaque": list(layer.opaque),
        "distribution": distribution and [distribution.id, distribution.version, distribution.codename],
        "present": list(layer.present),
        "notes": list(layer.notes),
    }
    return {name: each for name, each in value.items() if each}


def from_json(value: Mapping[str, Any]) -> LayerPackages:
    """Return the layer of `to_json`."""
    distribution = value.get("distribution")
    return LayerPackages(
        packages={path: _packages(path, found) for path, found in value.get("packages", {}).items()},
        removed=tuple(value.get("removed", ())),
        opaque=tuple(value.get("opaque", ())),
        distribution=Distribution(id=distribution[0], version=distribution[1], codename=distribution[2])
        if distribution
        else None,
        present=tuple(value.get("present", ())),
        notes=tuple(value.get("notes", ())),
    )


def _package(path: str, package: Package) -> dict[str, Any]:
    value = package.as_json()
    if package.path == path:
        value.pop("path", None)
    return value


def _packages(path: str, found: Iterable[Mapping[str, Any]]) -> tuple[Package, ...]:
    return tuple(Package.from_json({"path": path, **each}) for each in found)
