"""Ranges: whether a version is vulnerable, as OSV's events say (https://ossf.github.io/osv-schema/#evaluation)."""

from dataclasses import dataclass
from typing import Final

from lading.vulnerabilities import versions
from lading.vulnerabilities.osv import Affected, Range
from lading.vulnerabilities.versions import VersionError

FIRST: Final = "0"
"""The version that is before all others."""

UNLIMITED: Final = "*"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of the comparison of a version with what is vulnerable.

    Attributes:
        vulnerable: whether it is, or may be.
        fixed: the lowest version above it that fixes it, or "".
        uncomparable: the version that cannot be compared, so that `vulnerable` is not certain; or None.
    """

    vulnerable: bool
    fixed: str = ""
    uncomparable: str | None = None


NOT_VULNERABLE: Final = Verdict(vulnerable=False)


def compare(affected: Affected, version: str, scheme: str) -> Verdict:
    """Return whether a version of a package is vulnerable."""
    uncomparable: str | None = None
    found, fixed = version in affected.versions, []
    for each in affected.ranges:
        try:
            if _contains(each, version, scheme):
                found = True
            fixed += _fixed(each, version, scheme)
        except VersionError as error:
            uncomparable = str(error)
    if not found:
        return NOT_VULNERABLE if uncomparable is None else Verdict(vulnerable=True, uncomparable=uncomparable)
    return Verdict(vulnerable=True, fixed=min(fixed, key=lambda each: _Ordered(scheme, each), default=""))


def _contains(range: Range, version: str, scheme: str) -> bool:
    """Return whether a range contains a version. Raises VersionError."""
    limits = [each for kind, each in range if kind == "limit"]
    if limits and not any(each == UNLIMITED or _before(scheme, version, each) for each in limits):
        return False
    events = [(kind, each) for kind, each in range if kind != "limit"]
    if all(each == ("introduced", FIRST) for each in events):
        return bool(events)
    vulnerable = False
    for kind, each in sorted(events, key=lambda event: _Ordered(scheme, event[1])):
        match kind:
            case "introduced" if not _before(scheme, version, each):
                vulnerable = True
            case "fixed" if not _before(scheme, version, each):
                vulnerable = False
            case "last_affected" if _before(scheme, each, version):
                vulnerable = False
    return vulnerable


def _fixed(range: Range, version: str, scheme: str) -> list[str]:
    """Return the versions above one that fix it. Raises VersionError."""
    return [each for kind, each in range if kind == "fixed" and _before(scheme, version, each)]


def _before(scheme: str, one: str, other: str) -> bool:
    """Return whether a version is before another. Raises VersionError."""
    if other == FIRST:
        return False
    if one == FIRST:
        return True
    return bool(versions.key(scheme, one) < versions.key(scheme, other))


class _Ordered:
    """Version as a key to sort by."""

    __slots__ = ("scheme", "version")

    def __init__(self, scheme: str, version: str) -> None:
        self.scheme, self.version = scheme, version

    def __lt__(self, other: "_Ordered") -> bool:
        return _before(self.scheme, self.version, other.version)
