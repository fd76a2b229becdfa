"""Records of OSV: what of them is kept, in the form in which it is compared (https://ossf.github.io/osv-schema/)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from lading.vulnerabilities import ecosystems, severity

MAX_SUMMARY: Final = 200
"""Characters of a summary that are kept."""

EVENTS: Final = ("introduced", "fixed", "last_affected", "limit")

COMPARED: Final = ("SEMVER", "ECOSYSTEM")
"""Types of ranges whose versions have an order. Those of GIT are commits."""


class RecordError(Exception):
    """Content is not a record of OSV; the message says why."""


Range = Sequence[tuple[str, str]]
"""Events of a range: one of EVENTS and a version, in the order of the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """Package that a vulnerability affects.

    Attributes:
        name: of the package, see `ecosystems.name_in`.
        release: of the distribution that the ecosystem names, as in "Debian:12"; or "".
        ranges: the vulnerable versions.
        versions: further vulnerable versions, one by one.
        severity: one of SEVERITIES.
        score: the base score of CVSS, or None.
    """

    name: str
    release: str
    ranges: Sequence[Range]
    versions: Sequence[str]
    severity: str
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vulnerability:
    """Vulnerability, or an advisory about several.

    Attributes:
        id: of the record.
        aliases: other ids of the same vulnerability.
        covers: ids of the vulnerabilities that an advisory is about, if these are several.
        summary: at most MAX_SUMMARY characters.
        published: when it was, as RFC 3339, or "".
        modified: when the record was, as RFC 3339, or "".
        affected: the packages of one ecosystem.
    """

    id: str
    aliases: Sequence[str]
    covers: Sequence[str]
    summary: str
    published: str
    modified: str
    affected: Sequence[Affected]


def parse(content: bytes, data: str) -> Vulnerability | None:
    """Return what a record says about the packages of one ecosystem, or None: it is withdrawn, or about other packages.

    Args:
        content: JSON.
        data: the name of the ecosystem without a release, such as "Debian".

    Raises:
        RecordError: it is not a record.
    """
    try:
        record = json.loads(content)
        return None if record.get("withdrawn") else _vulnerability(record, data)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RecordError(f"it is not a record of OSV: {type(error).__name__}") from None


def _vulnerability(record: Mapping[str, Any], data: str) -> Vulnerability | None:
    affected = [found for each in record.get("affected") or () if (found := _affected(record, each, data))]
    if not affected:
        return None
    aliases, covers = _other_ids(record, data)
    return Vulnerability(
        id=_text(record["id"]),
        aliases=aliases,
        covers=covers,
        summary=_summary(record.get("summary") or record.get("details") or ""),
        published=_time(record.get("published")),
        modified=_time(record.get("modified")),
        affected=affected,
    )


def _other_ids(record: Mapping[str, Any], data: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return the aliases of a record, and the ids that it covers if it is an advisory about several vulnerabilities.

    Records of distributions name vulnerabilities as upstream, formerly as related.
    """
    id, aliases = record["id"], {_text(each) for each in record.get("aliases") or ()}
    upstream = {_text(each) for each in record.get("upstream") or ()}
    if ecosystems.is_distribution(data):
        cves = {each for each in upstream if each.startswith("CVE-")}
        related = {_text(each) for each in record.get("related") or ()}
        upstream = cves or upstream or {each for each in related if each.startswith("CVE-")}
    upstream -= {id, *aliases}
    if len(upstream) == 1:
        return sorted(aliases | upstream), ()
    return sorted(aliases), sorted(upstream)


def _affected(record: Mapping[str, Any], affected: Mapping[str, Any], data: str) -> Affected | None:
    package = affected.get("package")
    if not package:
        # A record can name nothing but commits of a repository.
        return None
    ecosystem, _, release = _text(package["ecosystem"]).partition(":")
    if ecosystem != data:
        return None
    ranges = [list(_events(each)) for each in affected.get("ranges") or () if each["type"] in COMPARED]
    versions = [_text(each) for each in affected.get("versions") or ()]
    if not ranges and not versions:
        return None
    if ranges and ecosystems.is_distribution(data):
        # OSV lists them by the ranges; Ubuntu's would be most of the data.
        versions = []
    rating, score = severity.rate(record, affected)
    return Affected(
        name=ecosystems.name_in(data, _text(package["name"])),
        release=release,
        ranges=ranges,
        versions=versions,
        severity=rating,
        score=score,
    )


def _events(range: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for event in range["events"]:
        for kind in EVENTS:
            if kind in event:
                yield kind, _text(event[kind])


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    # A lone surrogate is no text that SQLite stores.
    value.encode()
    return value


def _summary(text: str) -> str:
    text = text[: MAX_SUMMARY * 4].encode(errors="replace").decode()
    return " ".join(text.split())[:MAX_SUMMARY]


def _time(value: Any) -> str:
    """Return a time of RFC 3339 as it is; "" for none, and for the year 1, which stands for none in Go's records."""
    try:
        return "" if datetime.fromisoformat(value).year == 1 else str(value)
    except (ValueError, TypeError):
        return ""
