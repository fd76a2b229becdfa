"""What an image contains: its layers, one over the other."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from lading.scanning.packages import APK, DEB, RPM, Distribution, ImagePackages, LayerPackages, Package

OF_DISTRIBUTIONS: Final = (APK, DEB, RPM)
NOTHING_FOUND: Final = "no package was found: the image has no package database, and no file that declares packages"


def merge(layers: Sequence[LayerPackages]) -> ImagePackages:
    """Return what an image contains.

    Args:
        layers: from the lowest to the uppermost, as its manifest lists them.

    Returns:
        The packages of all files that no layer above removes or replaces, with the distribution as the namespace of
        those of its package manager. An image in which no package was found is not supported: without a package
        database, what it contains is not known.
    """
    distribution = next((each.distribution for each in reversed(layers) if each.distribution), Distribution())
    packages = {_with_vendor(each, distribution): None for each in _visible(layers)}
    notes = dict.fromkeys(note for layer in layers for note in layer.notes)
    if not packages:
        notes[NOTHING_FOUND] = None
    elif distribution.id and not any(each.type in OF_DISTRIBUTIONS for each in packages):
        notes[f"no package database of the distribution {distribution.id} was found"] = None
    return ImagePackages(
        packages=sorted(packages, key=order),
        distribution=distribution,
        notes=tuple(notes),
        is_supported=bool(packages),
    )


def order(package: Package) -> tuple[str, ...]:
    """Return what the packages of an image are sorted by."""
    return (package.type, package.namespace, package.name, package.version, package.path, package.arch)


def _with_vendor(package: Package, distribution: Distribution) -> Package:
    if package.type in OF_DISTRIBUTIONS and not package.namespace:
        return replace(package, namespace=distribution.id)
    return package


def _visible(layers: Sequence[LayerPackages]) -> Iterator[Package]:
    """Yield the packages of files that are there in the end, from the uppermost layer down."""
    hidden = _Hidden()
    for layer in reversed(layers):
        for path, packages in layer.packages.items():
            if path not in hidden:
                yield from packages
        hidden.add(layer)


class _Hidden:
    """The paths of lower layers that layers above hide."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        """Hidden themselves: a layer above has a folder there."""
        self._trees: set[str] = set()
        """Hidden with all below them: removed, or replaced by a file or a link."""
        self._contents: set[str] = set()
        """Folders of which all below is hidden."""

    def add(self, layer: LayerPackages) -> None:
        self._trees.update(layer.removed)
        self._contents.update(layer.opaque)
        for path in (*layer.present, *layer.packages):
            self._trees.add(path)
            self._paths.update(_folders(path))

    def __contains__(self, path: str) -> bool:
        if path in self._paths or path in self._trees:
            return True
        folders = [*_folders(path), ""]
        return not (self._trees.isdisjoint(folders) and self._contents.isdisjoint(folders))


def _folders(path: str) -> Iterator[str]:
    """Yield the folders above a path, without the root."""
    while path := path.rpartition("/")[0]:
        yield path
