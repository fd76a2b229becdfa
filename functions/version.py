"""The version of this program: the digest of its sources, the same wherever they are.

A deployment is made of the sources that Terraform is run on, not of a release. So what can be compared is
whether a server and a command are made of the same ones.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("functions", "storage")
"""What the functions' zip, the wheel and a checkout have of it in common."""


@cache
def source_version(root: Path = ROOT) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of all sources and their paths."""
    hasher = hashlib.sha256()
    files = sorted(path.relative_to(root).as_posix() for name in PACKAGES for path in (root / name).rglob("*.py"))
    for name in files:
        content = (root / name).read_bytes()
        hasher.update(f"{name} {len(content)}\n".encode() + content)
    return hasher.hexdigest()[:16]
