"""Packages of PHP, as Composer lists what it has installed in vendor/composer/installed.json."""

from collections.abc import Iterable
from typing import Final

from lading.scanning.extractors.extractor import File
from lading.scanning.extractors.json_content import loads, mapping, sequence, text
from lading.scanning.limits import MAX_TEXT
from lading.scanning.packages import COMPOSER, Package

FILE: Final = "composer/installed.json"


class ComposerInstalled:
    """Reads the list of Composer 1, an array, and of Composer 2, an object.

    composer.lock lists what could be installed, and installed.php is a program: neither is read.
    """

    name = "installed.json of Composer"
    limit = MAX_TEXT

    def wants(self, path: str, size: int, head: bytes) -> bool:
        """Return whether the file is Composer's."""
        return path == FILE or path.endswith(f"/{FILE}")

    def packages(self, file: File) -> Iterable[Package]:
        """Yield the packages, with the versions as their authors write them ("v1.2.3")."""
        content = loads(file.content.read())
        for each in sequence(content) or sequence(mapping(content).get("packages")):
            fields = mapping(each)
            vendor, slash, name = text(fields.get("name")).partition("/")
            if vendor:
                yield Package(
                    type=COMPOSER,
                    namespace=vendor if slash else "",
                    name=name if slash else vendor,
                    version=text(fields.get("version")),
                    path=file.path,
                    licenses=tuple(filter(None, map(text, sequence(fields.get("license"))))),
                )
