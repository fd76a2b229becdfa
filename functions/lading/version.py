"""The version of this program: the digest of its sources, the same wherever they are.

A deployment is made of the sources that Terraform is run on, not of a release. So what can be compared is
whether a server and a command are made of the same ones.
"""

import hashlib
from functools import cache
from pathlib import Path

import lading
import lading_storage


@cache
def source_version() -> str:
    """Return `version_of` the packages that run here: those of the functions' zip, of a wheel or of a checkout."""
    return version_of(*(Path(package.__path__[0]) for package in (lading, lading_storage)))


def version_of(*packages: Path) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of all sources of packages (folders), and their paths."""
    hasher = hashlib.sha256()
    files = {
        path.relative_to(package.parent).as_posix(): path for package in packages for path in package.rglob("*.py")
    }
    for name, path in sorted(files.items()):
        content = path.read_bytes()
        hasher.update(f"{name} {len(content)}\n".encode() + content)
    return hasher.hexdigest()[:16]
