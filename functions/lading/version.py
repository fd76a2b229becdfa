"""The version of the sources: their digest, independent of where they are installed.

A deployment is made from the sources that Terraform runs on, not from a release. So the digest tells whether a server
and a command have the same sources.
"""

import hashlib
from functools import cache
from pathlib import Path

import lading
import lading_storage


@cache
def source_version() -> str:
    """Return `version_of` the running packages: of the functions' zip, a wheel or a checkout."""
    return version_of(*(Path(package.__path__[0]) for package in (lading, lading_storage)))


def version_of(*packages: Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of all sources of package folders, and of their paths."""
    hasher = hashlib.sha256()
    files = {
        path.relative_to(package.parent).as_posix(): path for package in packages for path in package.rglob("*.py")
    }
    for name, path in sorted(files.items()):
        content = path.read_bytes()
        hasher.update(f"{name} {len(content)}\n".encode() + content)
    return hasher.hexdigest()[:16]
