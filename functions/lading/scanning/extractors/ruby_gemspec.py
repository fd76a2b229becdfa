"""Gems, as RubyGems writes the specification of each that it installs (https://guides.rubygems.org/specification-reference)."""

import re
from collections.abc import Iterable
from typing import Final

from lading.scanning.extractors.extractor import File
from lading.scanning.limits import MAX_TEXT
from lading.scanning.packages import GEM, Package

FOLDER: Final = re.compile(r"(?:^|/)specifications/(?:default/)?[^/]+\.gemspec")
STUB: Final = re.compile(r"^# stub: ([\w.-]+) ([\w.-]+) ", re.MULTILINE)
"""What RubyGems itself reads: name, version, platform and paths."""
NAME: Final = re.compile(r"""^[ \t]*\w+\.name[ \t]*=[ \t]*["']([^"'\n]+)["']""", re.MULTILINE)
VERSION: Final = re.compile(
    r"""^[ \t]*\w+\.version[ \t]*=[ \t]*(?:Gem::Version\.new[ (]?[ \t]*)?["']([^"'\n]+)["']""", re.MULTILINE
)
LICENSES: Final = re.compile(r"^[ \t]*\w+\.licenses?[ \t]*=([^\n]*)", re.MULTILINE)
QUOTED: Final = re.compile(r"""["']([^"'\n]+)["']""")


class RubyGemspec:
    """Reads the specification of an installed gem. A *.gemspec elsewhere is a program that makes one, and not read."""

    name = "specification of a gem"
    limit = MAX_TEXT

    def wants(self, path: str, size: int, head: bytes) -> bool:
        """Return whether the file is where RubyGems installs specifications."""
        return path.endswith(".gemspec") and FOLDER.search(path) is not None

    def packages(self, file: File) -> Iterable[Package]:
        """Yield the gem, with its version as written.

        Raises:
            ValueError: it names no gem with a version.
        """
        content = file.content.read().decode("utf-8", "replace")
        stub, name, version = STUB.search(content), NAME.search(content), VERSION.search(content)
        licenses = LICENSES.search(content)
        if not stub and not (name and version):
            raise ValueError("it names no gem with a version")
        yield Package(
            type=GEM,
            name=name[1] if name else stub[1] if stub else "",
            version=version[1] if version else stub[2] if stub else "",
            path=file.path,
            licenses=tuple(QUOTED.findall(licenses[1])) if licenses else (),
        )
