"""An image that passes gets one attestation, which Binary Authorization accepts; any other none, whatever fails."""

import pytest

from lading.attester.attestations import Written
from lading.attester.google_api import GoogleRefused, GoogleUnavailable
from lading.attester.wake_up import WakeUp
from lading.policies.evidence import AUDITED, DENIED, EXEMPTED, Outcome
from lading.policies.policy import AUDIT, ENFORCE, Policy, PushRequirement
from lading.registry.registry import Registry
from lading.scanner.registry_client import RegistryUnreachable
from tests.attester.attester_server import AGED, AttesterServer, Judged, at_once, calls, counts
from tests.support.binary_authorization import KEY, MEMBER, NOTE, ON_KEY, ON_NOTE, Attestor, occurrences_of
from tests.support.fake_iam_world import PROJECT, FakeIamWorld
from tests.support.indexes import push_index
from tests.support.registry_pushes import push_image

OCCURRENCES = f"v1/projects/{PROJECT}/occurrences"
LISTS = f"v1/{NOTE}/occurrences"
SIGN = f"v1/{KEY}"


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
