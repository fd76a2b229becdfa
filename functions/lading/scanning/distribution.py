"""The distribution of an image, by its os-release file (https://www.freedesktop.org/software/systemd/man/os-release.html)."""

import re
from typing import Final

from lading.scanning.packages import Distribution

PATHS: Final = ("etc/os-release", "usr/lib/os-release", "etc/redhat-release")
"""Files that name the distribution; the first one that does counts. The last one is for CentOS 6 and older."""


def parse(path: str, content: bytes) -> Distribution | None:
    """Return the distribution that one of PATHS names, or None."""
    text = content.decode("utf-8", "replace")
    if path == "etc/redhat-release":
        return _of_release(text)
    fields = dict(_field(line) for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#"))
    found = Distribution(
        id=fields.get("ID", "").lower(),
        version=fields.get("VERSION_ID", ""),
        codename=fields.get("VERSION_CODENAME", ""),
    )
    return found if found.id else None


def _field(line: str) -> tuple[str, str]:
    """Return the name and value of an assignment, whose value may be quoted as in a shell."""
    name, _, value = line.strip().partition("=")
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = re.sub(r'\\(["\'$`\\])', r"\1", value[1:-1])
    return name, value


def _of_release(text: str) -> Distribution | None:
    """Return the distribution of a text such as "CentOS release 6.10 (Final)"."""
    found = re.match(r"(\w+)[\w ]*? release (\d+(?:\.\d+)*)", text)
    if found is None:
        return None
    id = {"red": "rhel"}.get(found[1].lower(), found[1].lower())
    return Distribution(id=id, version=found[2])
