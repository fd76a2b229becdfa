"""The extractors of all formats, a row each."""

from typing import Final

from lading.scanning.extractors import apk, dpkg, rpm
from lading.scanning.extractors.cargo_auditable import CargoAuditable
from lading.scanning.extractors.composer_installed import ComposerInstalled
from lading.scanning.extractors.dotnet_deps import DotnetDeps
from lading.scanning.extractors.extractor import Extractor
from lading.scanning.extractors.go_binary import GoBinary
from lading.scanning.extractors.java_archive import JavaArchive
from lading.scanning.extractors.npm_package import NpmPackage
from lading.scanning.extractors.python_metadata import PythonMetadata
from lading.scanning.extractors.ruby_gemspec import RubyGemspec

EXTRACTORS: Final[tuple[Extractor, ...]] = (
    dpkg.Dpkg(),
    apk.Apk(),
    rpm.Rpm(),
    GoBinary(),
    CargoAuditable(),
    JavaArchive(),
    PythonMetadata(),
    NpmPackage(),
    DotnetDeps(),
    ComposerInstalled(),
    RubyGemspec(),
)
"""A file is read by each of them that wants it."""

LOCATIONS: Final = (dpkg.STATUS, dpkg.STATUS_FOLDER, *apk.PATHS, *rpm.PATHS)
"""Where the databases of distributions are. A layer may replace a folder above them with a link."""
