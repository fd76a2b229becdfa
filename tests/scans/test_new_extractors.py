"""What other extractors have read is read again, when the image is compared anyway: not all images at once."""

import json
from typing import Final

import pytest

from lading.registry.registry import Registry
from lading.scanner import scan_run
from lading.scanning.layer_packages import EXTRACTOR_VERSION
from lading_storage.digests import digest_of
from lading_storage.records.scans import SIGNED
from tests.scans.scan_runs import FakeData, FakeLayers, image_of, npm, run
from tests.scans.scan_steps import EXTRACTOR, accept, facts_of, only_claim, pushed, result_of
from tests.support.fake_clock import FakeClock
from tests.support.osv_dumps import MakeDatabases, vulnerable

BASE: Final = b"base"
APPS: Final = (b"app 0", b"app 1", b"app 2")
PUSHED: Final = b"pushed later"


def layers_of(version: str) -> FakeLayers:
    """Return layers, of which the base has a package of a version."""
    return FakeLayers(
        {BASE: npm("left-pad", version), **{each: npm(f"app-{each[-1]}", "1.0.0") for each in (*APPS, PUSHED)}}
    )


def test_layers_are_read_again_with_the_daily_comparison_and_after_new_pushes(
    registry: Registry, clock: FakeClock, databases_of: MakeDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = FakeData(databases_of(vulnerable("GHSA-1", "npm", "left-pad", "2.0.0")))
    old, new = layers_of("1.0.0"), layers_of("2.0.0")
    monkeypatch.setattr(scan_run, "EXTRACTOR_VERSION", EXTRACTOR_VERSION - 1)
    images = []
    for number, app in enumerate(APPS):
        images.append(image_of(registry, f"v{number}", BASE, app))
        run(registry, clock, old, data)
        clock.advance(hours=1)
    assert [json.loads(facts_of(registry, each).counts) for each in images] == [{"unknown": [1, 0]}] * 3
    monkeypatch.setattr(scan_run, "EXTRACTOR_VERSION", EXTRACTOR_VERSION)

    run(registry, clock, new, data)
    assert new.read == [], "an upgrade alone makes nothing due"

    clock.advance(hours=21, minutes=30)
    image_of(registry, "v3", PUSHED)
    run(registry, clock, new, data)
    assert new.read == [digest_of(each) for each in (PUSHED, BASE, APPS[0])]
    assert [json.loads(facts_of(registry, each).counts) for each in images] == [{}, *[{"unknown": [1, 0]}] * 2]

    clock.advance(hours=2)
    run(registry, clock, new, data)
    assert new.read == [digest_of(each) for each in (PUSHED, BASE, *APPS)], "the base is read once for all of them"
    assert [json.loads(facts_of(registry, each).counts) for each in images] == [{}] * 3


def test_comparisons_come_in_the_order_in_which_they_are_due(registry: Registry, clock: FakeClock) -> None:
    images = []
    for number, data in enumerate([{}, {SIGNED: "1"}, {}, {SIGNED: "1"}]):
        images.append(pushed(registry, f"v{number}").digest)
        claim = only_claim(registry)
        accept(registry, claim, result_of(claim, clock, data=data))
        clock.advance(minutes=1)
    clock.advance(days=1)

    claimed = [claim.digest for _ in images for claim in registry.scans.claims.claim(1, EXTRACTOR)]

    assert claimed == images, "images with signed documents do not wait for all others"
