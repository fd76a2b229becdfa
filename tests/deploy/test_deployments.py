"""One event is one deployment, and never an older one after a later one, on each kind of target."""

import contextlib
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from deployer.outcomes import Outcome
from deployer.run import Deployment, run
from tests.deploy.fake_server import ErrorResponse, google_error
from tests.deploy.google_world import TARGETS, GoogleWorld, digest, event, image, rules_of

each_kind = pytest.mark.parametrize("kind", TARGETS)


def one(world: GoogleWorld, kind: str, number: int, of: int | None = None) -> Deployment:
    """Deploy one event."""
    (deployment,) = run(world.api, rules_of(kind), event(number, of))
    return deployment


@each_kind
def test_an_event_updates_the_target_to_its_digest(world: GoogleWorld, kind: str) -> None:
    deployment = one(world, kind, 1)
    assert deployment.outcome is Outcome.DEPLOYED, deployment.error
    assert world.deployed(kind) == [f"europe-west1-docker.pkg.dev/p-1/lading/team-a/app@{digest(1)}"]


@each_kind
def test_a_repeated_event_deploys_nothing(world: GoogleWorld, kind: str) -> None:
    """So it does after a restart between the update and its acknowledgement."""
    one(world, kind, 1)
    assert one(world, kind, 1).outcome is Outcome.CURRENT
    assert world.deployed(kind) == [image(1)]


@each_kind
def test_an_older_event_deploys_nothing(world: GoogleWorld, kind: str) -> None:
    one(world, kind, 2)
    assert one(world, kind, 1).outcome is Outcome.CURRENT
    assert world.deployed(kind) == [image(2)]


@each_kind
def test_a_rollback_deploys_the_former_digest(world: GoogleWorld, kind: str) -> None:
    for number, of in ((1, 1), (2, 2), (3, 1)):
        assert one(world, kind, number, of).outcome is Outcome.DEPLOYED
    assert one(world, kind, 2).outcome is Outcome.CURRENT
    assert world.deployed(kind) == [image(1), image(2), image(1)]


@each_kind
def test_in_any_order_the_last_event_is_what_stays(world: GoogleWorld, kind: str) -> None:
    for start, order in enumerate(itertools.permutations((1, 2, 3))):
        for number in (*order, *order):
            one(world, kind, 10 * start + number)
        assert world.deployed(kind)[-1] == image(10 * start + 3)
    assert len(set(world.deployed(kind))) == len(world.deployed(kind))


@pytest.mark.parametrize("kind", ["cloud_run", "gke"])
def test_of_two_instances_the_one_with_the_older_event_deploys_nothing(world: GoogleWorld, kind: str) -> None:
    world.server_of(kind).before_update = lambda: assert_deployed(one(world, kind, 2))
    assert one(world, kind, 1).outcome is Outcome.CURRENT
    assert world.deployed(kind) == [image(2)]


@each_kind
def test_of_two_instances_with_one_event_one_deploys(world: GoogleWorld, kind: str) -> None:
    world.server_of(kind).before_update = lambda: assert_deployed(one(world, kind, 1))
    one(world, kind, 1)
    assert world.deployed(kind) == [image(1)]


def assert_deployed(deployment: Deployment) -> None:
    assert deployment.outcome is Outcome.DEPLOYED, deployment.error


@pytest.mark.parametrize("kind", ["cloud_run", "gke"])
def test_many_instances_leave_the_last_event(world: GoogleWorld, kind: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: one(world, kind, number), [3, 1, 5, 2, 4, 5, 3, 1] * 2))
    while any(each.outcome is None for each in found):  # as Pub/Sub delivers again
        found = [one(world, kind, number) for number in range(1, 6)]
    assert world.deployed(kind)[-1] == image(5)
    assert world.deployed(kind) == sorted(world.deployed(kind))
    assert len(set(world.deployed(kind))) == len(world.deployed(kind))


@each_kind
@pytest.mark.parametrize("status", [403, 404])
def test_a_permanent_error_is_one_and_a_later_delivery_deploys(world: GoogleWorld, kind: str, status: int) -> None:
    world.server_of(kind).fail(google_error(status, "PERMISSION_DENIED"))
    failed = one(world, kind, 1)
    assert (failed.outcome, failed.permanent) == (None, True)
    assert str(status) in failed.error
    assert one(world, kind, 1).outcome is Outcome.DEPLOYED


@each_kind
@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_a_transient_error_is_not_permanent(world: GoogleWorld, kind: str, status: int) -> None:
    world.server_of(kind).fail(google_error(status, "UNAVAILABLE"))
    failed = one(world, kind, 1)
    assert (failed.outcome, failed.permanent) == (None, False)
    assert one(world, kind, 1).outcome is Outcome.DEPLOYED


@each_kind
def test_a_response_that_is_no_json_is_a_transient_error(world: GoogleWorld, kind: str) -> None:
    """As of a proxy in between: so other targets are updated."""
    world.server_of(kind).fail(ErrorResponse(200, b"<html>"))
    failed = one(world, kind, 1)
    assert (failed.outcome, failed.permanent) == (None, False)
    assert one(world, kind, 1).outcome is Outcome.DEPLOYED


@pytest.mark.parametrize("kind", ["cloud_run", "gke"])
def test_endless_conflicts_are_an_error_after_some_attempts(world: GoogleWorld, kind: str) -> None:
    def conflict() -> None:
        if kind == "gke":
            world.kubernetes.touch()
        else:
            world.run.services.update(
                {name: {**each, "etag": each["etag"] + "x"} for name, each in world.run.services.items()}
            )
        world.server_of(kind).before_update = conflict

    world.server_of(kind).before_update = conflict
    failed = one(world, kind, 1)
    assert (failed.outcome, failed.permanent) == (None, False)
    assert sum(call.startswith("PATCH") for call in world.server_of(kind).calls) <= 5
    assert world.deployed(kind) == []


def test_a_target_that_fails_does_not_keep_others_from_being_updated(world: GoogleWorld) -> None:
    world.servers["run"].fail(google_error(403, "PERMISSION_DENIED"))
    first = run(world.api, rules_of(*TARGETS), event(1))
    assert [each.outcome for each in first] == [None, Outcome.DEPLOYED, Outcome.DEPLOYED]
    second = run(world.api, rules_of(*TARGETS), event(1))
    assert [each.outcome for each in second] == [Outcome.DEPLOYED, Outcome.CURRENT, Outcome.CURRENT]


@each_kind
def test_no_connection_is_a_transient_error(world: GoogleWorld, kind: str) -> None:
    with contextlib.suppress(OSError):
        world.server_of(kind).__exit__()
    failed = one(world, kind, 1)
    assert (failed.outcome, failed.permanent) == (None, False)


def test_tags_have_sequences_of_their_own(world: GoogleWorld) -> None:
    rules = rules_of("cloud_run", tag="v*")
    for tag, number in (("v2", 2), ("v1", 1), ("v2", 2), ("v1", 1)):
        run(world.api, rules, event(number, tag=tag))
    assert world.deployed("cloud_run") == [image(2), image(1)]
