"""Data that comes after the images that need it: these are compared at once."""

from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from tests.scans.scan_steps import accept, claim_all, facts_of, only_claim, pushed, result_of, scan
from tests.support.fake_clock import FakeClock


def test_images_are_due_once_there_is_data_that_they_lacked(registry: Registry, clock: FakeClock) -> None:
    lacking = pushed(registry, "v1")
    scan_of(registry, clock, ["Debian:12"])
    for tag, missing in (("v2", []), ("v3", ["PyPI"])):
        pushed(registry, tag)
        scan_of(registry, clock, missing)
    clock.advance(minutes=1)
    assert claim_all(registry) == []
    artifacts = registry.scans.vulnerability_data("lading/vulnerabilities")
    before = facts_of(registry, lacking)

    artifacts.publish("Debian", "application/octet-stream", digest_of(b"one"), [b"one"], "1")

    clock.advance(minutes=1)
    assert [each.digest for each in claim_all(registry)] == [lacking.digest]
    assert facts_of(registry, lacking).counts == before.counts
    assert facts_of(registry, lacking).content == before.content


def test_images_are_due_once_there_is_data_on_exploits(registry: Registry, clock: FakeClock) -> None:
    """A policy that asks for known exploits refuses all others until then."""
    image = pushed(registry, "v1")
    claim = only_claim(registry)
    accept(registry, claim, result_of(claim, clock))
    clock.advance(minutes=1)
    artifacts = registry.scans.vulnerability_data("lading/vulnerabilities")

    artifacts.publish("exploits", "application/octet-stream", digest_of(b"one"), [b"one"], "1")

    clock.advance(minutes=1)
    (again,) = claim_all(registry)
    assert again.digest == image.digest
    accept(registry, again, result_of(again, clock, data={"Debian": "1", "exploits": "1"}))
    artifacts.publish("exploits", "application/octet-stream", digest_of(b"two"), [b"two"], "2")
    clock.advance(minutes=2)
    assert claim_all(registry) == [], "newer data waits for the next day"


def test_newer_data_waits_for_the_next_day(registry: Registry, clock: FakeClock) -> None:
    pushed(registry)
    artifacts = registry.scans.vulnerability_data("lading/vulnerabilities")
    artifacts.publish("Debian", "application/octet-stream", digest_of(b"one"), [b"one"], "1")
    clock.advance(hours=1)
    scan_of(registry, clock, ["Debian:99"])

    artifacts.publish("Debian", "application/octet-stream", digest_of(b"two"), [b"two"], "2")

    clock.advance(hours=23)
    assert claim_all(registry) == []
    clock.advance(hours=2)
    assert len(claim_all(registry)) == 1


def test_data_that_comes_while_an_image_is_compared_is_not_waited_for_a_day(
    registry: Registry, clock: FakeClock
) -> None:
    pushed(registry, "v1")
    claim = only_claim(registry)
    artifacts = registry.scans.vulnerability_data("lading/vulnerabilities")
    artifacts.publish("Debian", "application/octet-stream", digest_of(b"one"), [b"one"], "1")

    accept(registry, claim, result_of(claim, clock, state="partial", data={}, missing=["Debian:12"]))

    clock.advance(minutes=6)
    again = only_claim(registry)
    clock.advance(minutes=10)
    accept(registry, again, result_of(again, clock, state="partial", data={}, missing=["Debian:12"]))
    clock.advance(hours=1)
    assert claim_all(registry) == [], "its release is not in the data"


def scan_of(registry: Registry, clock: FakeClock, missing: list[str]) -> str:
    """Scan the image that is due first; return its digest."""
    return scan(registry, clock, missing=missing).digest
