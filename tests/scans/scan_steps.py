"""What tests of scans do again and again."""

import json
from datetime import timedelta
from typing import Any, Final

from lading.jobs.gc.sweep import GracePeriods
from lading.registry.registry import Registry
from lading.registry.scans.claim import Claim, ScanResult
from lading.scanning.findings import DONE
from lading_storage.records.core import Key, Manifest
from lading_storage.records.scans import Facts
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.operations import collect
from tests.support.registry_pushes import push_image

A: Final = "team/app"
EXTRACTOR: Final = 1

ZERO: Final = timedelta(0)


def pushed(registry: Registry, *tags: str, layers: int = 1) -> Manifest:
    return push_image(registry, A, *(tags or ("v1",)), layers=layers)


def manifest_with(**fields: Any) -> bytes:
    """An image manifest with other fields than it has."""
    return json.dumps(json.loads(images.manifest([])) | fields).encode()


def facts_of(registry: Registry, image: Manifest) -> Facts:
    """The facts about an image, live or deleted."""
    key = Key(Facts, image.id, image.repository)
    facts = registry.metadata.read([key])[key]
    assert facts is not None
    return facts


def has_facts(registry: Registry, image: Manifest) -> bool:
    key = Key(Facts, image.id, image.repository)
    return registry.metadata.read([key])[key] is not None


def claim_all(registry: Registry, limit: int = 100) -> list[Claim]:
    return registry.scans.claims.claim(limit, EXTRACTOR)


def only_claim(registry: Registry) -> Claim:
    (claim,) = claim_all(registry)
    return claim


def result_of(claim: Claim, clock: FakeClock, number: int = 1, **fields: Any) -> ScanResult:
    """A result whose documents depend on `number`, with packages of all layers that were to be read."""
    values: dict[str, Any] = {
        "state": DONE,
        "at": clock.time,
        "counts": {"high": (number, 0)},
        "worst": json.dumps([number]).encode(),
        "data": {"Debian": f"etag {number}"},
        "ecosystems": ["Debian"],
        "extractor": EXTRACTOR,
        "layers": {layer.digest: b"packages" for layer in claim.layers if layer.packages is None},
        "fingerprint": f"findings {number}",
        "sbom": b'{"bomFormat": "CycloneDX", "version": %d}' % number,
        "report": b'{"_type": "https://in-toto.io/Statement/v1", "n": %d}' % number,
    }
    return ScanResult(**(values | fields))


def accept(registry: Registry, claim: Claim, result: ScanResult) -> None:
    registry.scans.results.accept(claim.repository, claim.digest, claim.nonce, result)


def scan(registry: Registry, clock: FakeClock, number: int = 1, **fields: Any) -> Claim:
    """Claim the only image that is due, and give its result."""
    claim = only_claim(registry)
    accept(registry, claim, result_of(claim, clock, number, **fields))
    return claim


def referrers(registry: Registry, image: Manifest) -> dict[str, list[str]]:
    """The digests of the referrers of an image by their artifact type."""
    found: dict[str, list[str]] = {}
    for each in registry.manifests.referrers(image.repository, image.digest, "", "").items:
        found.setdefault(each.artifact_type, []).append(each.manifest.digest)
    return found


def collect_all(registry: Registry, clock: FakeClock) -> None:
    """Collect without grace periods, as often as it takes until nothing more goes."""
    for _ in range(5):
        clock.advance(hours=2)
        collect(registry, GracePeriods(ZERO, ZERO, ZERO, ZERO), clock)
