"""The sweep finds what no event has told, of however many images, and goes on where the last one ended."""

import base64
import json
from collections.abc import Callable

import pytest

from lading.attester import attest_run
from lading.attester.attest_run import KEEP_INTERVAL, LIST_SLICE
from lading.attester.wake_up import WakeUp
from lading.policies.evidence import DENIED
from lading.registry.attestations import passing_images
from lading.registry.attestations.messages import SweepPosition
from lading.registry.registry import Registry
from lading.scanner.registry_client import RegistryUnreachable
from tests.attester.attester_server import AttesterServer, Judged, calls, counts
from tests.support.binary_authorization import occurrences_of
from tests.support.fake_iam_world import FakeIamWorld
from tests.support.registry_pushes import push_image


def test_the_sweep_finds_what_no_event_has_told(
    registry: Registry, served: AttesterServer, world: FakeIamWorld, judged: Judged
) -> None:
    images = {name: push_image(registry, f"team/{name}", "v1").id for name in ("a", "b", "c")}
    push_image(registry, "library/app", "v1")
    judged.outcomes[images["b"]] = DENIED
    served.run().handle(WakeUp("team/c", (images["c"],)))
    judged.calls.clear()
    world.requests()

    report = served.run().sweep()

    assert (counts(report), report.finished) == ((1, 0, 1, 0), True)
    assert sorted(judged.calls) == sorted([images["a"], images["b"]]), "what has an attestation is not judged again"
    assert calls(world) == ["occurrences", "occurrences", "asymmetricSign", "occurrences"]
    judged.outcomes.clear()
    assert counts(served.run().sweep()) == (1, 0, 0, 0)
    assert counts(served.run().sweep()) == (0, 0, 0, 0)
    assert len(occurrences_of(world)) == 3


def now_and_then(*times: float) -> Callable[[], float]:
    """Return a clock with these times, of which the last one stays."""
    given = iter(times)
    return lambda: next(given, times[-1])


def test_a_sweep_goes_on_where_the_last_one_ended(
    registry: Registry, served: AttesterServer, judged: Judged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a repository, whose images do not pass: they would take the time of each sweep again."""
    monkeypatch.setattr(attest_run, "MAX_DIGESTS", 1)
    first = sorted(push_image(registry, "team/a", f"v{number}").id for number in range(4))
    last = push_image(registry, "team/b", "v1").id
    judged.outcomes = dict.fromkeys(first, DENIED)
    sliced = served.run()
    # Two batches, of which the time of each is asked for once, after that of the listing and of the beginning.
    monkeypatch.setattr(sliced, "_timer", now_and_then(*[0.0] * 5, 1e6))

    assert (counts(sliced.sweep()), judged.calls) == ((0, 0, 2, 0), first[:2])
    assert registry.kept_position.read() == SweepPosition(repository="team/a", digest=first[1])
    assert (counts(served.run().sweep()), judged.calls) == ((1, 0, 2, 0), [*first, last])
    assert registry.kept_position.read() == SweepPosition(), "the next one begins anew"
    assert counts(served.run().sweep()) == (0, 0, 4, 0)


def test_a_sweep_keeps_its_position_while_it_works(
    registry: Registry, served: AttesterServer, judged: Judged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be killed."""
    monkeypatch.setattr(attest_run, "MAX_DIGESTS", 1)
    images = sorted(push_image(registry, "team/a", f"v{number}").id for number in range(4))
    killed = served.run()
    monkeypatch.setattr(killed, "_timer", now_and_then(*(KEEP_INTERVAL * number for number in range(100))))
    judge = registry.judge
    registry.judge = lambda repository, digest: 1 / 0 if digest == images[2] else judge(repository, digest)  # type: ignore[assignment]

    with pytest.raises(RegistryUnreachable):
        killed.sweep()

    assert registry.kept_position.read() == SweepPosition(repository="team/a", digest=images[1])


def test_a_sweep_ends_in_time_where_all_images_are_attested(
    registry: Registry, served: AttesterServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To list a million of them takes longer than a call may, and what comes after them has to be found."""
    monkeypatch.setattr(passing_images, "PAGE_SIZE", 2)
    images = sorted(push_image(registry, "team/a", f"v{number}").id for number in range(5))
    assert counts(served.run().sweep()) == (5, 0, 0, 0)
    sliced = served.run()
    monkeypatch.setattr(sliced, "_timer", now_and_then(*[0.0] * 9, 1e6))

    assert not sliced.sweep().finished
    assert registry.kept_position.read().digest in images
    assert served.run().sweep().finished


def test_a_long_list_of_attestations_leaves_time_for_images(
    registry: Registry, served: AttesterServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_image(registry, "team/a", "v1")
    served.run().sweep()
    push_image(registry, "team/b", "v1")
    late = served.run()
    monkeypatch.setattr(late, "_timer", now_and_then(0.0, LIST_SLICE))

    assert counts(late.sweep()) == (1, 1, 0, 0), "Google is asked about the one that was not listed"


@pytest.mark.parametrize("duplicates", [False], indirect=True)
def test_an_image_whose_attestation_is_refused_stops_no_other(
    registry: Registry, served: AttesterServer, world: FakeIamWorld
) -> None:
    """Another writer of the note has attested it with another payload."""
    images = [push_image(registry, f"team/{name}", "v1").id for name in ("a", "b")]
    served.run().sweep()
    stored = json.loads(world.iam.world.read_text())
    foreign = next(each for each in stored["occurrences"].values() if images[0] in each["resourceUri"])
    foreign["attestation"]["serializedPayload"] = base64.b64encode(b"{}").decode()
    world.iam.world.write_text(json.dumps(stored))

    report = served.run(version="2").sweep()

    assert (counts(report), report.failed) == ((1, 0, 0, 0), 1)
    assert "with another payload: delete it" in report.reasons[f"team/a@{images[0]}"]
