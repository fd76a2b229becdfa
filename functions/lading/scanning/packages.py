"""Package: what a layer or an image contains, as package managers and executables declare it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

DEB: Final = "deb"
APK: Final = "apk"
RPM: Final = "rpm"
PYPI: Final = "pypi"
NPM: Final = "npm"
GO: Final = "golang"
MAVEN: Final = "maven"
CARGO: Final = "cargo"
GEM: Final = "gem"
NUGET: Final = "nuget"
COMPOSER: Final = "composer"
"""Types of packages, as package URLs name them (https://github.com/package-url/purl-spec)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Package, as a file of the image declares it.

    Attributes:
        type: the type of its package URL, one of the constants above.
        name: its name without the namespace. Of a Go module, the whole path.
        namespace: the vendor of a distribution, the group of Maven, the scope of npm ("@types") or the vendor of
            Composer; else "".
        version: with the epoch, if there is one, as its ecosystem writes it ("1:3.0.7-24.el9"); "" if unknown.
        arch: the architecture, or "".
        source: the name of the source package of a distribution, or "" if that is `name`.
        source_version: the version of the source package, or "" if that is `version`.
        path: the file that declares it, without a leading slash.
        guessed: whether the namespace is a guess, because the file does not name it.
        licenses: as the file declares them.
        origin: who says that it is there, such as "signed by release", or "" for a file of the image.
    """

    type: str
    name: str
    namespace: str = ""
    version: str = ""
    arch: str = ""
    source: str = ""
    source_version: str = ""
    path: str = ""
    guessed: bool = False
    licenses: tuple[str, ...] = ()
    origin: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults."""
        # Not asdict, which copies deeply: that was a fifth of a comparison whose findings differ.
        values = ((name, getattr(self, name)) for name in _NAMES)
        return {name: value for name, value in values if value not in ("", False, ())}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Package":
        """Return the package of `as_json`."""
        return cls(**{**value, "licenses": tuple(value.get("licenses", ()))})


_NAMES: Final = tuple(each.name for each in fields(Package))


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """The distribution of Linux that /etc/os-release names.

    Attributes:
        id: the field ID, such as "debian", "alpine" or "rocky"; "" if there is none.
        version: the field VERSION_ID, such as "12", "3.18.4" or "9.2"; or "".
        codename: the field VERSION_CODENAME, such as "bookworm", or "".
    """

    id: str = ""
    version: str = ""
    codename: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPackages:
    """What one layer declares, which does not depend on the layers below it.

    Attributes:
        packages: by the path of the file that declares them, so that a layer above can replace or remove the file.
        removed: the paths that the layer removes from those below: a file, or a folder with all that is in it.
        opaque: the folders of which it removes all that layers below contain.
        distribution: if the layer has an os-release file.
        present: paths that declare nothing in this layer, and replace files below that do.
        notes: what could not be read, and why, a sentence each; an image with notes is scanned in part.
    """

    packages: Mapping[str, Sequence[Package]] = field(default_factory=dict)
    removed: Sequence[str] = ()
    opaque: Sequence[str] = ()
    distribution: Distribution | None = None
    present: Sequence[str] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePackages:
    """What an image contains.

    Attributes:
        packages: sorted by type, namespace, name, version and path.
        distribution: the one that its uppermost os-release file names.
        notes: as those of its layers.
        is_supported: whether its packages can be known at all. False for an image in whose layers nothing is a file
            system of Linux, and for formats of package databases that are recognised but cannot be read.
    """

    packages: Sequence[Package]
    distribution: Distribution = Distribution()
    notes: Sequence[str] = ()
    is_supported: bool = True
