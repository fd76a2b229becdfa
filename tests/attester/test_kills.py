"""The attester is killed (SIGKILL) before and after each of its requests, in any order, and on whatever Google answers.

Whenever it ends: only images that pass have an attestation, which Binary Authorization accepts; and the next sweeps
attest the rest. An image has one occurrence, unless Google makes a second one and does not list the first: two guesses.
"""

import multiprocessing
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from requests import PreparedRequest, Response, Session
from requests.sessions import Session as RequestsSession

from lading.attester.attest_run import AttestRun
from lading.attester.attestations import Attestations, Written
from lading.attester.google_api import GoogleApi
from lading.attester.wake_up import WakeUp
from lading.policies.evidence import DENIED
from lading.registry.registry import Registry
from lading.scanner.registry_client import RegistryClient
from tests.attester.attester_server import HOST, AttesterServer, Judged, serving_attester
from tests.support.binary_authorization import ACCOUNT, KEY_VERSION, NOTE, Attestor, add_attestor, occurrences_of
from tests.support.fake_iam_world import FakeIamWorld, id_token
from tests.support.images import descriptor
from tests.support.indexes import push_index
from tests.support.registry_pushes import push_image

KILLS: Final = 30 if os.environ.get("LADING_NIGHTLY") == "1" else 10
"""Of each guess about Google, on each pair of stores."""

MAX_REQUESTS: Final = 12
MAX_OF_EVENT: Final = 5
"""Requests before which a sweep is killed, which makes five before its first image, and an event, which makes four."""

SEED: Final = 22


@dataclass(frozen=True)
class Kill:
    """When a process is killed: before or after one of its requests, of both the registry and Google."""

    request: int
    is_after: bool


@dataclass(frozen=True)
class Environment:
    """What a process of the function knows."""

    url: str
    identity: str
    token: str
    google: str


def run(environment: Environment, event: WakeUp | None, kill: Kill | None) -> None:
    """Handle an event, or sweep, as the function does, until killed."""
    if kill is not None:
        _die(kill)

    def session() -> Session:
        session = Session()
        session.headers["Authorization"] = f"Bearer {environment.token}"
        return session

    registry = RegistryClient(environment.url, lambda: environment.identity, user="attester", endpoints="attestations")
    google = GoogleApi(session, environment={"LADING_IAM_EMULATOR_HOST": environment.google})
    attestations = Attestations(google, NOTE, KEY_VERSION, Written())
    attester = AttestRun(registry, attestations, HOST, ["team/*"])
    report = attester.handle(event) if event else attester.sweep()
    assert report.finished
    assert not report.failed


def _die(kill: Kill) -> None:
    """Let this process kill itself at a request."""
    send, made = RequestsSession.send, [0]

    def counted(self: RequestsSession, request: PreparedRequest, **arguments: Any) -> Response:
        made[0] += 1
        if made[0] == kill.request and not kill.is_after:
            os.kill(os.getpid(), signal.SIGKILL)
        response = send(self, request, **arguments)
        if made[0] == kill.request:
            os.kill(os.getpid(), signal.SIGKILL)
        return response

    RequestsSession.send = counted  # type: ignore[method-assign]


@dataclass
class Images:
    """Images of team/, by whether they pass, and the function that attests them."""

    registry: Registry
    world: FakeIamWorld
    judged: Judged
    environment: Environment
    passing: set[str]
    refused: set[str]

    def push(self, number: int) -> WakeUp:
        """Push an image that passes, and one that does not; return an event of both."""
        repository = f"team/{'abc'[number % 3]}"
        passes, refused = (push_image(self.registry, repository, f"{name}{number}").id for name in "vw")
        self.passing.add(passes)
        self.refused.add(refused)
        self.judged.outcomes[refused] = DENIED
        return WakeUp(repository, (passes, refused))

    def run(self, event: WakeUp | None = None, kill: Kill | None = None) -> bool:
        """Handle an event, or sweep, in a process of its own; return whether it was killed."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        process = context.Process(target=run, args=(self.environment, event, kill))
        process.start()
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL)
        return process.exitcode != 0

    def attested(self) -> Counter[str]:
        """The number of occurrences of each image."""
        return Counter(each["resourceUri"].rpartition("@")[2] for each in occurrences_of(self.world))

    def admitted(self) -> set[str]:
        """The images that Binary Authorization admits."""
        return {each for each in self.passing | self.refused if Attestor().admits(self.world, each)}


@pytest.fixture(params=[False, True], ids=["listed", "hidden"])
def hidden(request: pytest.FixtureRequest) -> bool:
    """Whether Google lists no occurrence that was just made, ever: it says that lists are eventually consistent."""
    return bool(request.param)


@pytest.fixture
def assumed(world: FakeIamWorld, duplicates: bool, hidden: bool) -> str:
    """The token of the function's account in a world of these guesses."""
    return add_attestor(world, duplicates=duplicates, hidden=hidden)


@pytest.fixture
def served(
    registry: Registry, judged: Judged, world: FakeIamWorld, assumed: str, tmp_path: Path
) -> Iterator[AttesterServer]:
    with serving_attester(world, registry, assumed, tmp_path / "keys") as server:
        yield server


@pytest.fixture
def images(registry: Registry, world: FakeIamWorld, judged: Judged, served: AttesterServer) -> Images:
    identity = id_token(email=ACCOUNT, aud=served.url)
    environment = Environment(served.url, identity, served.token, world.iam.url)
    index, children, _ = push_index(registry, "team/index", "v1")
    passes, fails = (descriptor(each)["digest"] for each in children)
    judged.outcomes[fails] = DENIED
    return Images(registry, world, judged, environment, {passes}, {fails, index})


def test_whenever_the_attester_is_killed_only_what_passes_is_attested_and_all_of_it_is(
    images: Images, duplicates: bool, hidden: bool
) -> None:
    chosen, killed = random.Random(SEED), 0
    for number in range(KILLS):
        event = images.push(number)
        if number % 2:
            killed += images.run(kill=Kill(chosen.randrange(1, MAX_REQUESTS), chosen.random() < 0.5))
        else:
            killed += images.run(event, Kill(chosen.randrange(1, MAX_OF_EVENT), chosen.random() < 0.5))
            images.run(event)  # Pub/Sub sends it again

        attested = images.attested()
        assert attested.keys() <= images.passing
        assert images.admitted() == attested.keys()
        if not (duplicates and hidden):
            assert set(attested.values()) <= {1}
    assert killed > KILLS // 2

    images.run()
    assert images.admitted() == images.passing
    before = images.attested()
    if not hidden:
        images.run()
        assert images.attested() == before
