"""Severities in the words of each format, in one table."""

from dataclasses import dataclass
from typing import Final

from lading.scanning.findings import CRITICAL, HIGH, LOW, MEDIUM, NEGLIGIBLE, UNKNOWN


@dataclass(frozen=True, slots=True)
class Severity:
    """A severity in other formats.

    Attributes:
        sarif: the level of a SARIF result.
        harbor: the severity in Harbor's reports.
        score: the score by which GitHub orders a rule without a CVSS score, or None to order it by its level.
    """

    sarif: str
    harbor: str
    score: float | None


FORMATS: Final = {
    CRITICAL: Severity("error", "Critical", 9.5),
    HIGH: Severity("error", "High", 8.0),
    MEDIUM: Severity("warning", "Medium", 5.5),
    UNKNOWN: Severity("warning", "Unknown", None),
    LOW: Severity("note", "Low", 2.0),
    NEGLIGIBLE: Severity("note", "Negligible", 0.1),
}
"""https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
and https://github.com/goharbor/pluggable-scanner-spec/blob/master/api/spec/scanner-adapter-openapi-v1.1.yaml."""
