"""SBOMs and reports of other scanners, as predicates of statements."""

from collections.abc import Mapping
from typing import Any, Final

from lading.registry.registry import Registry
from lading.vulnerabilities.sboms import CYCLONEDX, SPDX
from lading.vulnerabilities.vulnerability_reports import COSIGN, IN_TOTO
from lading_storage.records.core import Manifest
from tests.support.vex_documents import KEY, attach, bundle, envelope

NAMES: Final = {"cyclonedx": CYCLONEDX, "spdx": SPDX, "trivy": COSIGN, "grype": COSIGN, "in-toto": IN_TOTO}


def cyclonedx(*purls: str) -> dict[str, Any]:
    """An SBOM with components, of which the second one is nested in the first, as syft and Trivy may write it."""
    components: list[dict[str, Any]] = [{"type": "library", "name": each, "purl": each} for each in purls]
    if len(components) > 1:
        components[0]["components"] = [components.pop(1)]
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components}


def spdx(*purls: str) -> dict[str, Any]:
    """An SBOM of an image, with a file that is no package."""
    packages: list[dict[str, Any]] = [
        {"SPDXID": "SPDXRef-image", "name": "app", "primaryPackagePurpose": "CONTAINER"},
        *(
            {
                "SPDXID": f"SPDXRef-{number}",
                "name": each,
                "externalRefs": [
                    {"referenceCategory": "SECURITY", "referenceType": "cpe23Type", "referenceLocator": "cpe:2.3:a:x"},
                    {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": each},
                ],
            }
            for number, each in enumerate(purls)
        ),
    ]
    return {"spdxVersion": "SPDX-2.3", "packages": packages, "files": [{"SPDXID": "SPDXRef-file"}]}


def report(result: Any, scanner: str = "pkg:github/aquasecurity/trivy@v0.58", at: str = "2026-01-02T00:00:00Z") -> Any:
    """A report with the result of a scanner."""
    return {"scanner": {"uri": scanner, "version": "1", "result": result}, "metadata": {"scanFinishedOn": at}}


def trivy(id: str, purl: str, **fields: Any) -> dict[str, Any]:
    """What `trivy --format cosign-vuln` has as its result."""
    found = {"VulnerabilityID": id, "PkgIdentifier": {"PURL": purl}, "Severity": "CRITICAL", **fields}
    return {"SchemaVersion": 2, "Results": [{"Target": "app"}, {"Target": "lock", "Vulnerabilities": [found]}]}


def grype(id: str, purl: str) -> dict[str, Any]:
    """What `grype -o json` prints."""
    vulnerability = {"id": id, "severity": "High", "fix": {"versions": ["1.1.0"], "state": "fixed"}}
    related = [{"id": "CVE-2026-1"}]
    artifact = {"name": "left-pad", "version": "1.0.0", "purl": purl}
    return {"matches": [{"vulnerability": vulnerability, "relatedVulnerabilities": related, "artifact": artifact}]}


def in_toto(id: str, **annotations: Any) -> list[dict[str, Any]]:
    """A result as in-toto has it."""
    severity = [{"method": "nvd", "score": "7.5"}]
    return [{"id": id, "severity": severity, "annotations": [annotations] if annotations else []}]


def attach_signed(
    registry: Registry, image: Manifest, kind: str, predicate: Mapping[str, Any], key: Any = KEY
) -> Manifest:
    """Attach a document as cosign 3 does."""
    named = {"dev.sigstore.bundle.predicateType": NAMES[kind]}
    signed = envelope(predicate, image.digest, key, predicate_type=NAMES[kind])
    return attach(registry, image, bundle(signed), annotations=named)
