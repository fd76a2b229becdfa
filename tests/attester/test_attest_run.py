"""An image that passes gets one attestation, which Binary Authorization accepts; any other none, whatever fails."""

import base64
import json
import re
from collections.abc import Callable

import pytest

from lading.attester import attest_run
from lading.attester.attest_run import KEEP_INTERVAL, LIST_SLICE, AttestReport
from lading.attester.attestations import Written
from lading.attester.google_api import GoogleRefused, GoogleUnavailable
from lading.attester.wake_up import WakeUp
from lading.policies.evidence import AUDITED, DENIED, EXEMPTED, Outcome
from lading.policies.policy import AUDIT, ENFORCE, Policy, PushRequirement
from lading.registry.attestations import passing_images
from lading.registry.attestations.messages import SweepPosition
from lading.registry.registry import Registry
from lading.scanner.registry_client import RegistryUnreachable
from tests.attester.attester_server import AGED, AttesterServer, Judged, at_once
from tests.support.binary_authorization import KEY, MEMBER, NOTE, ON_KEY, ON_NOTE, Attestor, occurrences_of
from tests.support.fake_iam_world import PROJECT, FakeIamWorld
from tests.support.indexes import push_index
from tests.support.registry_pushes import push_image

OCCURRENCES = f"v1/projects/{PROJECT}/occurrences"
LISTS = f"v1/{NOTE}/occurrences"
SIGN = f"v1/{KEY}"


def counts(report: AttestReport) -> tuple[int, int, int, int]:
    return report.attested, report.present, report.refused, report.other


def calls(world: FakeIamWorld) -> list[str]:
    """The last part of the path of each call to Google."""
    return [re.split(r"[/:]", each.split()[1].partition("?")[0])[-1] for each in world.requests() if "/v1/" in each]


def test_an_image_that_passes_has_one_attestation(
    registry: Registry, served: AttesterServer, world: FakeIamWorld
) -> None:
    image = push_image(registry, "team/app", "v1").id
    world.requests()

    assert counts(served.run().handle(WakeUp("team/app", (image,)))) == (1, 0, 0, 0)

    assert calls(world) == ["occurrences", "asymmetricSign", "occurrences"]
    assert served.requests == ["decisions"]
    assert Attestor().admits(world, image)
    (occurrence,) = occurrences_of(world)
    assert occurrence["resourceUri"] == f"https://registry.example.com/team/app@{image}"
    assert not Attestor(versions=["2"]).admits(world, image)


def test_a_repeated_event_changes_nothing(registry: Registry, served: AttesterServer, world: FakeIamWorld) -> None:
    event = WakeUp("team/app", (push_image(registry, "team/app", "v1").id,))
    written = Written()
    served.run(written=written).handle(event)
    before = occurrences_of(world)
    world.requests()

    assert counts(served.run(written=written).handle(event)) == (0, 1, 0, 0)
    assert calls(world) == []
    assert counts(served.run().handle(event)) == (0, 1, 0, 0), "another process, which asks Google"
    assert calls(world) == ["occurrences"]
    assert occurrences_of(world) == before


def test_events_at_once_make_one_attestation(registry: Registry, served: AttesterServer, world: FakeIamWorld) -> None:
    event = WakeUp("team/app", (push_image(registry, "team/app", "v1").id,))
    written = Written()

    at_once(*[lambda: served.run(written=written).handle(event)] * 6)

    assert len(occurrences_of(world)) == 1


def test_what_google_does_not_list_yet_is_no_error(
    registry: Registry, served: AttesterServer, world: FakeIamWorld, duplicates: bool
) -> None:
    """Two processes: the second one does not see the attestation of the first. A second one would be as valid."""
    world.fields["attestations"]["hidden"] = True
    world.save()
    image = push_image(registry, "team/app", "v1").id
    event = WakeUp("team/app", (image,))

    assert [counts(served.run().handle(event))[0] for _ in range(2)] == [1, int(duplicates)]
    assert len(occurrences_of(world)) == 1 + int(duplicates)
    assert Attestor().admits(world, image)


@pytest.mark.parametrize("outcome", [DENIED, AUDITED, EXEMPTED])
def test_an_image_that_does_not_pass_has_none(
    registry: Registry, served: AttesterServer, world: FakeIamWorld, judged: Judged, outcome: Outcome
) -> None:
    """What is exempted for a while is allowed, and would be attested for good."""
    image = push_image(registry, "team/app", "v1").id
    judged.outcomes[image] = outcome
    world.requests()

    report = served.run().handle(WakeUp("team/app", (image,)))

    assert counts(report) == (0, 0, 1, 0)
    assert report.reasons == {f"team/app@{image}": "policy prod: it is not signed by release"}
    assert (calls(world), occurrences_of(world)) == ([], [])


@pytest.mark.parametrize(
    ("policies", "attested"),
    [
        ((), 0),
        ((Policy(name="reports", repositories=("*",), mode=AUDIT, requirements=AGED),), 0),
        ((Policy(name="elsewhere", repositories=("prod/*",), mode=ENFORCE, requirements=AGED),), 0),
        ((Policy(name="pushes", repositories=("*",), mode=ENFORCE, push=PushRequirement(maximum_size=1)),), 0),
        ((Policy(name="closed", repositories=("*",), mode=ENFORCE, requirements=AGED),), 1),
    ],
)
def test_only_policies_that_are_enforced_count(
    registry: Registry, served: AttesterServer, judged: Judged, policies: tuple[Policy, ...], attested: int
) -> None:
    judged.policies = policies
    image = push_image(registry, "team/app", "v1").id

    assert counts(served.run().handle(WakeUp("team/app", (image,)))) == (attested, 0, 1 - attested, 0)


def test_what_cannot_be_judged_has_no_attestation(registry: Registry, served: AttesterServer, judged: Judged) -> None:
    """Even where the policy allows such images, with `onError`."""
    judged.is_error = True
    image = push_image(registry, "team/app", "v1").id

    assert counts(served.run().handle(WakeUp("team/app", (image,)))) == (0, 0, 1, 0)


def test_repositories_that_no_setting_names_are_not_asked_about(registry: Registry, served: AttesterServer) -> None:
    image = push_image(registry, "library/app", "v1").id

    assert counts(served.run("team/*").handle(WakeUp("library/app", (image,)))) == (0, 0, 0, 1)
    assert counts(served.run("team/*").handle(None)) == (0, 0, 0, 1)
    assert served.requests == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_google_is_asked_again_while_it_is_busy(
    registry: Registry, served: AttesterServer, world: FakeIamWorld, status: int
) -> None:
    image = push_image(registry, "team/app", "v1").id
    world.fields["faults"] = {OCCURRENCES: [status, status], SIGN: [status], LISTS: [status]}
    world.save()

    assert counts(served.run().handle(WakeUp("team/app", (image,)))) == (1, 0, 0, 0)
    assert sorted(served.waits) == [1.0, 1.0, 1.0, 2.0]
    assert len(occurrences_of(world)) == 1


@pytest.mark.parametrize("where", [LISTS, SIGN, OCCURRENCES])
def test_an_outage_of_google_ends_the_call_and_the_next_one_succeeds(
    registry: Registry, served: AttesterServer, world: FakeIamWorld, where: str
) -> None:
    image = push_image(registry, "team/app", "v1").id
    world.outage(where, 503)
    with pytest.raises(GoogleUnavailable, match="status 503"):
        served.run().handle(WakeUp("team/app", (image,)))
    assert occurrences_of(world) == []

    world.outage("nowhere", 503)
    assert counts(served.run().handle(WakeUp("team/app", (image,)))) == (1, 0, 0, 0)
    assert len(occurrences_of(world)) == 1


def test_a_call_that_ends_after_the_signature_leaves_nothing(
    registry: Registry, served: AttesterServer, world: FakeIamWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process that is killed there."""
    image = push_image(registry, "team/app", "v1").id
    run = served.run()
    with monkeypatch.context() as patch:
        patch.setattr("lading.attester.attestations.occurrence", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run.handle(WakeUp("team/app", (image,)))
    assert occurrences_of(world) == []

    assert counts(served.run().handle(WakeUp("team/app", (image,)))) == (1, 0, 0, 0)
    assert len(occurrences_of(world)) == 1


def test_a_response_that_is_lost_after_the_occurrence_is_made_once(
    registry: Registry, served: AttesterServer, world: FakeIamWorld, duplicates: bool
) -> None:
    image = push_image(registry, "team/app", "v1").id
    world.fields["faults"] = {OCCURRENCES: [-503]}
    world.save()

    served.run().handle(WakeUp("team/app", (image,)))

    assert len(occurrences_of(world)) == 1 + int(duplicates), "a repeated request is a second one, as valid, in a guess"
    assert counts(served.run().handle(WakeUp("team/app", (image,)))) == (0, 1, 0, 0)
    assert Attestor().admits(world, image)


@pytest.mark.parametrize(
    "permission",
    [*ON_KEY, *ON_NOTE, "containeranalysis.occurrences.create"],
)
def test_a_missing_right_is_named(
    registry: Registry, served: AttesterServer, world: FakeIamWorld, permission: str
) -> None:
    image = push_image(registry, "team/app", "v1").id
    bindings = (
        world.fields["notes"][NOTE]["bindings"],
        world.fields["cryptoKeys"][KEY]["bindings"],
        world.fields["projects"][PROJECT],
    )
    for each in bindings:
        each[MEMBER] = [other for other in each[MEMBER] if other != permission]
    world.save()

    with pytest.raises(GoogleRefused) as refused:
        served.run().handle(WakeUp("team/app", (image,)))

    assert refused.value.status == 403
    assert permission in str(refused.value).partition("; it needs ")[2]
    assert occurrences_of(world) == []


def test_a_missing_note_is_named(registry: Registry, served: AttesterServer, world: FakeIamWorld) -> None:
    image = push_image(registry, "team/app", "v1").id
    world.fields["notes"] = {}
    world.project(*ON_NOTE, member=MEMBER)
    with pytest.raises(GoogleRefused, match=f"status 404.*it needs .* on {NOTE}"):
        served.run().handle(WakeUp("team/app", (image,)))


def test_another_version_of_the_key_adds_its_signature(
    registry: Registry, served: AttesterServer, world: FakeIamWorld, duplicates: bool
) -> None:
    image = push_image(registry, "team/app", "v1").id
    event = WakeUp("team/app", (image,))
    served.run().handle(event)

    assert counts(served.run(version="2").handle(event)) == (1, 0, 0, 0)

    assert len(occurrences_of(world)) == 1 + int(duplicates)
    assert Attestor(versions=["1"]).admits(world, image)
    assert Attestor(versions=["2"]).admits(world, image)
    assert counts(served.run(version="2").handle(event)) == (0, 1, 0, 0)


def test_a_registry_that_is_down_ends_the_call(registry: Registry, served: AttesterServer) -> None:
    image = push_image(registry, "team/app", "v1").id
    served.statuses += [503] * 4
    with pytest.raises(RegistryUnreachable):
        served.run().handle(WakeUp("team/app", (image,)))
    assert counts(served.run().handle(WakeUp("team/app", (image,)))) == (1, 0, 0, 0)


def test_an_index_passes_once_all_of_its_images_do(
    registry: Registry, served: AttesterServer, world: FakeIamWorld, judged: Judged
) -> None:
    index, _, _ = push_index(registry, "team/app", "v1")
    images = children(registry, "team/app", index)
    judged.outcomes[images[0]] = DENIED
    served.run().handle(WakeUp("team/app", (index,)))
    assert [Attestor().admits(world, each) for each in (*images, index)] == [False, *[True] * (len(images) - 1), False]

    judged.outcomes.clear()
    served.run().handle(WakeUp("team/app", (images[0],)))
    assert all(Attestor().admits(world, each) for each in (*images, index)), "the event of an image is one of its index"
    assert len(occurrences_of(world)) == len(images) + 1


def children(registry: Registry, repository: str, index: str) -> tuple[str, ...]:
    from lading_storage.records.core import Key, Manifest

    key = Key(Manifest, index, repository)
    record = registry.metadata.read([key])[key]
    assert record is not None
    return record.children


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


def test_an_image_whose_attestation_is_refused_stops_no_other(
    registry: Registry, served: AttesterServer, world: FakeIamWorld, duplicates: bool
) -> None:
    """Somebody has written another payload to the note, by another key."""
    if duplicates:
        pytest.skip("nothing is refused: a second occurrence is made")
    images = [push_image(registry, f"team/{name}", "v1").id for name in ("a", "b")]
    served.run().sweep()
    stored = json.loads(world.iam.world.read_text())
    foreign = next(each for each in stored["occurrences"].values() if images[0] in each["resourceUri"])
    foreign["attestation"]["serializedPayload"] = base64.b64encode(b"{}").decode()
    world.iam.world.write_text(json.dumps(stored))

    report = served.run(version="2").sweep()

    assert (counts(report), report.failed) == ((1, 0, 0, 0), 1)
    assert "with another payload: delete it" in report.reasons[f"team/a@{images[0]}"]
