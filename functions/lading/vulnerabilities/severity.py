"""Severity: how bad a vulnerability is, by what its record says."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from lading.scanning.findings import CRITICAL, HIGH, LOW, MEDIUM, NEGLIGIBLE, SEVERITIES, UNKNOWN

Rating = tuple[str, float | None]
"""One of SEVERITIES, and the base score, 0 to 10, or None."""

_WORDS: Final = {
    "critical": CRITICAL,
    "high": HIGH,
    "important": HIGH,
    "medium": MEDIUM,
    "moderate": MEDIUM,
    "low": LOW,
    "negligible": NEGLIGIBLE,
    "unimportant": NEGLIGIBLE,
}
"""What GitHub, Debian, Ubuntu and Red Hat call the severities."""

_ADVISORY: Final = re.compile(r"(Critical|Important|Moderate|Low): ")
"""How summaries of Red Hat's advisories begin, and of those that rebuild its packages."""

_BANDS: Final = ((9.0, CRITICAL), (7.0, HIGH), (4.0, MEDIUM), (0.1, LOW), (0.0, NEGLIGIBLE))
"""Least scores of severities (https://www.first.org/cvss/v3.1/specification-document, 5)."""

_MALICIOUS: Final = "MAL-"
"""Prefix of the ids of packages that are malware (https://github.com/ossf/malicious-packages)."""


def rate(record: Mapping[str, Any], affected: Mapping[str, Any]) -> Rating:
    """Return the severity of a vulnerability in one of the packages of its record.

    The score of CVSS decides, else a word: of GitHub, or of the distribution. Only where a distribution says that its
    package is hardly affected (Debian's "unimportant", Ubuntu's "negligible") does its word decide before the score.
    """
    ratings = _list(affected.get("severity")) or _list(record.get("severity"))
    words = [_WORDS[word] for word in _words(record, affected, ratings) if word in _WORDS]
    score = _score(ratings)
    if NEGLIGIBLE in words:
        return NEGLIGIBLE, score
    if score is not None:
        version_2 = all(each.get("type") == "CVSS_V2" for each in ratings)
        found = next(severity for least, severity in _BANDS if score >= least)
        return (HIGH if version_2 and found == CRITICAL else found), score
    if not words and str(record.get("id")).startswith(_MALICIOUS):
        return CRITICAL, None
    return (words[0] if words else UNKNOWN), None


def of_words(words: Iterable[str]) -> Rating:
    """Return the severity that a report states: a word, or else a score, of which the highest counts."""
    texts = [each.lower() for each in words]
    known = [_WORDS[each] for each in texts if each in _WORDS]
    scores = [score for each in texts if (score := _number(each)) is not None]
    score = max(scores, default=None)
    if known:
        return min(known, key=SEVERITIES.index), score
    return (UNKNOWN if score is None else next(rating for least, rating in _BANDS if score >= least)), score


def _number(text: str) -> float | None:
    """Return a score from 0 to 10, or that of a vector of CVSS; None if a text is neither."""
    if text.startswith("cvss:3"):
        return _base_score("CVSS_V3", text.upper())
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0 <= found <= 10 else None


def _words(record: Mapping[str, Any], affected: Mapping[str, Any], ratings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what calls the severity by a word, in lower case."""
    specific = _object(affected.get("ecosystem_specific"))
    found = [
        specific.get("urgency"),
        *(each.get("score") for each in ratings if not str(each.get("type")).startswith("CVSS")),
        specific.get("severity"),
        _object(affected.get("database_specific")).get("severity"),
        _object(record.get("database_specific")).get("severity"),
    ]
    if advisory := _ADVISORY.match(str(record.get("summary") or "")):
        found.append(advisory[1])
    # Debian once marked its guesses by asterisks.
    return [each.lower().rstrip("*") for each in found if isinstance(each, str)]


def _score(ratings: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the highest base score, of version 2 only if there is no newer one."""
    scores = [
        (each.get("type") != "CVSS_V2", score)
        for each in ratings
        if (score := _base_score(str(each.get("type")), str(each.get("score")))) is not None
    ]
    return max(scores)[1] if scores else None


@lru_cache(10_000)
def _base_score(type: str, vector: str) -> float | None:
    """Return the base score of a vector, or None if it is not a valid one of its type."""
    import cvss

    classes = {"CVSS_V2": cvss.CVSS2, "CVSS_V3": cvss.CVSS3, "CVSS_V4": cvss.CVSS4}
    if type not in classes or len(vector) > 500:
        return None
    try:
        return float(classes[type](vector).base_score)
    except Exception:
        # A record with a severity that cannot be read still names a vulnerability.
        return None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
