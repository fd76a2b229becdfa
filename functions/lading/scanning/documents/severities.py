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
        google: the severity in occurrences of Container Analysis.
        score: the score by which GitHub orders a rule without a CVSS score, or None to order it by its level.
    """

    sarif: str
    harbor: str
    google: str
    score: float | None


FORMATS: Final = {
    CRITICAL: Severity("error", "Critical", "CRITICAL", 9.5),
    HIGH: Severity("error", "High", "HIGH", 8.0),
    MEDIUM: Severity("warning", "Medium", "MEDIUM", 5.5),
    UNKNOWN: Severity("warning", "Unknown", "SEVERITY_UNSPECIFIED", None),
    LOW: Severity("note", "Low", "LOW", 2.0),
    NEGLIGIBLE: Severity("note", "Negligible", "MINIMAL", 0.1),
}
"""https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning,
https://cloud.google.com/container-analysis/docs/reference/rest/v1/Severity
and https://github.com/goharbor/pluggable-scanner-spec/blob/master/api/spec/scanner-adapter-openapi-v1.1.yaml."""
