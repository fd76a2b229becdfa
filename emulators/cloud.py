"""Local deployment: the functions as Google Cloud runs them, and emulators of the services that they call.

    client → the registry's container: Envoy on $PORT, in front of the server that the uploaded archive starts
                 → Cloud Storage, Firestore (emulators), IAM and Secret Manager (emulators.iam), a metadata server
    Cloud Scheduler (emulators.scheduler) → the collector's container, the publisher's container
    Firestore → Eventarc (emulators.eventarc) → the publisher's container → Pub/Sub (emulator)
                                              → the scanner's container → the registry's container
    Pub/Sub (emulators.subscription) → the attester's container → the registry's container, Container Analysis, KMS

With a sidecar, Envoy is a container of its own (emulators.sidecar), in front of the registry's.

Not emulated: Google's front end, which terminates TLS and appends the client's address to X-Forwarded-For, and the
resource limits of an instance.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emulators import Emulators, running, sidecar
from emulators.deployment import (
    EVENTS_TOPIC,
    NOTIFICATIONS_TOPIC,
    SUBSCRIBED,
    SUBSCRIPTION,
    Accounts,
    fake_iam_world,
    platform,
    settings,
)
from emulators.eventarc import Trigger
from emulators.iam import IamEmulator
from emulators.metadata import MetadataServer
from emulators.processes import EmulatorError, ProcessGroup, ServerProcess, free_port
from emulators.pubsub import PubSubEmulator
from emulators.runtime import Runtime
from emulators.source import archive, files
from emulators.subscription import Subscription

STOP_TIMEOUT: Final = 10.0
"""Seconds from SIGTERM to SIGKILL (https://cloud.google.com/run/docs/container-contract#instance-shutdown)."""


FUNCTIONS: Final = ("registry", "collect", "publish", "scan")
"""In the order in which they start: the others know the registry's address."""

ATTEST: Final = "attest"
"""The function that Terraform deploys only where it is asked to."""


class ContainerError(EmulatorError):
    """A container does not start although nothing is missing; the message has the end of its log."""


@dataclass(frozen=True)
class Cloud:
    """A running deployment.

    registry     container of the registry
    envoy        container that clients reach: Envoy's own, or the registry's
    collect      container of the garbage collector
    publish      container of the publisher of events
    scan         container of the scanner of images
    attest       container of the attester of images, or None
    accounts     service accounts and users, with their tokens
    environment  environment variables for a local process that uses the stores of the deployment
    iam          the fake of IAM
    variables    environment variables of the containers by function, with `{port}` for the container's port
    """

    registry: ServerProcess
    envoy: ServerProcess
    collect: ServerProcess
    publish: ServerProcess
    scan: ServerProcess
    attest: ServerProcess | None
    accounts: Accounts
    environment: Mapping[str, str]
    iam: IamEmulator
    variables: Mapping[str, Mapping[str, str]]
    _processes: ProcessGroup
    _runtimes: Mapping[str, Runtime]
    _folder: Path

    @property
    def host(self) -> str:
        """HOST:PORT of the registry, the prefix of repository names in clients."""
        return f"127.0.0.1:{self.envoy.port}"

    @property
    def token(self) -> str:
        """The access token of a user with all permissions."""
        return self.accounts.owner

    @property
    def collect_url(self) -> str:
        """The address of the collector, which is the audience of the tokens that it accepts."""
        return f"http://127.0.0.1:{self.collect.port}"

    @property
    def publish_url(self) -> str:
        """The address of the publisher, which is the audience of the tokens that it accepts."""
        return f"http://127.0.0.1:{self.publish.port}"

    @property
    def scan_url(self) -> str:
        """The address of the scanner, which is the audience of the tokens that it accepts."""
        return f"http://127.0.0.1:{self.scan.port}"

    def start_scan_trigger(self, url: str = "") -> None:
        """Call the scanner, or the one at `url`, for each new image from now on, as Eventarc does."""
        _, _, project, database = self.environment["LADING_METADATA"].split("/")
        trigger = Trigger(
            project, database, "facts", url or self.scan_url, self.accounts.scheduler, in_repositories=True
        )
        trigger.start(self._processes, self._folder, self.environment["FIRESTORE_EMULATOR_HOST"])

    def start_trigger(self) -> None:
        """Call the publisher for each new event from now on, as Eventarc does."""
        _, _, project, database = self.environment["LADING_METADATA"].split("/")
        trigger = Trigger(project, database, "events", self.publish_url, self.accounts.events)
        trigger.start(self._processes, self._folder, self.environment["FIRESTORE_EMULATOR_HOST"])

    def start_subscription(self) -> None:
        """Call the attester for each event of an image from now on, as Pub/Sub does."""
        if self.attest is None:
            raise EmulatorError("the deployment has no attester")
        types = " OR ".join(f'attributes.type = "dev.lading.{each}.v1"' for each in SUBSCRIBED)
        url = f"http://127.0.0.1:{self.attest.port}"
        subscription = Subscription(SUBSCRIPTION, EVENTS_TOPIC, types, url, self.accounts.scheduler)
        subscription.start(self._processes, self._folder, self.environment["PUBSUB_EMULATOR_HOST"])

    @contextlib.contextmanager
    def run_another(self, function: str = "registry", **variables: str) -> Iterator[ServerProcess]:
        """Run another container of a function on the same stores, for tests that stop it or need other settings."""
        container = _launch(
            self._processes, self._runtimes[function], function, {**self.variables[function], **variables}
        )
        try:
            yield container
        finally:
            container.stop(STOP_TIMEOUT)


@contextlib.contextmanager
def deployed(
    emulators: Emulators | None = None, with_pip: bool = False, with_sidecar: bool = False, with_attest: bool = False
) -> Iterator[Cloud]:
    """Run a deployment until the block ends.

    Args:
        emulators: provide the stores; new ones if None.
        with_pip: install the functions' requirements from the package index, instead of linking this Python's packages.
        with_sidecar: run Envoy as a container of its own, as Terraform's `envoy_image` does.
        with_attest: attest images of all repositories, as Terraform's `attest` does.

    Raises:
        EmulatorError: something is missing; the message says how to install it.
        ContainerError: a container does not start.
    """
    with contextlib.ExitStack() as stack:
        backends = emulators or stack.enter_context(running())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lading-cloud-")))
        processes = stack.enter_context(ProcessGroup())
        accounts = Accounts.create()
        iam = IamEmulator.start(processes, folder)
        iam.world.write_text(json.dumps(fake_iam_world(accounts)))
        stores = {**backends.fresh_stores(), "LADING_IAM_EMULATOR_HOST": iam.url, **_start_pubsub(processes)}
        front = free_port() if with_sidecar else 0
        url = f"http://127.0.0.1:{front or '{port}'}"
        variables, runtimes = dict[str, Mapping[str, str]](), dict[str, Runtime]()
        containers: dict[str, ServerProcess] = {}
        stack.callback(_stop, containers)
        for function in (*FUNCTIONS, *([ATTEST] if with_attest else [])):
            metadata = MetadataServer.start(processes, getattr(accounts, function), folder / f"{function}.json")
            decided = settings(url, stores, accounts, attests=with_attest)
            variables[function] = {**_environment(function, stores, decided, front), **metadata.environment()}
            packed = archive(files(function, sidecar=with_sidecar))
            runtimes[function] = Runtime.install(folder / function, packed, with_pip)
            containers[function] = _launch(processes, runtimes[function], function, variables[function])
            url = url.replace("{port}", str(containers["registry"].port))
        registry, collect, publish, scan = (containers[function] for function in FUNCTIONS)
        containers["envoy"] = envoy = _launch_envoy(processes, front, registry.port) if front else registry
        own = (containers.get(ATTEST), accounts, stores, iam, variables, processes, runtimes, folder)
        yield Cloud(registry, envoy, collect, publish, scan, *own)


def _environment(function: str, stores: Mapping[str, str], decided: Mapping[str, str], front: int) -> Mapping[str, str]:
    """Return the variables of a container, whose settings are `decided`; with a `front`, the server is behind it."""
    hosts = {name: value for name, value in stores.items() if name.endswith("_EMULATOR_HOST")}
    environment = {**hosts, **decided, **platform(function), **_overrides(function)}
    return sidecar.server_variables(environment) if front and function == "registry" else environment


def _overrides(function: str) -> Mapping[str, str]:
    """Return settings that differ from Terraform's: nothing here reaches the internet, unless its caller says so."""
    source = os.environ.get("LADING_VULNERABILITY_SOURCE", "none")
    return {"LADING_VULNERABILITY_SOURCE": source} if function == "scan" else {}


def _start_pubsub(processes: ProcessGroup) -> Mapping[str, str]:
    """Start Pub/Sub with the topics of events, and return its environment variable."""
    pubsub = PubSubEmulator.start(processes, os.environ)
    for topic in (EVENTS_TOPIC, NOTIFICATIONS_TOPIC):
        pubsub.make_topic(topic)
    return {"PUBSUB_EMULATOR_HOST": pubsub.address}


def _stop(containers: Mapping[str, ServerProcess]) -> None:
    """Stop all containers concurrently."""
    for container in containers.values():
        container.process.terminate()
    for container in containers.values():
        container.stop(STOP_TIMEOUT)


def _launch(processes: ProcessGroup, runtime: Runtime, function: str, variables: Mapping[str, str]) -> ServerProcess:
    """Start a container with these environment variables and those of its image, and none of this process."""
    try:
        return processes.launch(function, runtime.command, {**runtime.environment(), **variables}, runtime.workspace)
    except EmulatorError as error:
        raise ContainerError(str(error)) from None


def _launch_envoy(processes: ProcessGroup, port: int, server_port: int) -> ServerProcess:
    """Start Envoy's container, once that of the server listens."""
    environment = sidecar.environment()
    try:
        return processes.launch("envoy", sidecar.command(port, server_port), environment, port=port)
    except EmulatorError as error:
        raise ContainerError(str(error)) from None
