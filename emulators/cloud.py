"""A deployment on this machine: the functions as Google Cloud runs them, and everything that they call.

    client → the registry's container: Envoy on $PORT, before the server that the uploaded archive starts
                 → Cloud Storage, Firestore (emulators), IAM and Secret Manager (emulators.iam), a metadata server
    Cloud Scheduler (emulators.scheduler) → the collector's container

What is missing is Google's front, which ends TLS and appends the client's address to X-Forwarded-For, and the limits of
an instance.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emulators import Emulators, running
from emulators.deployment import Accounts, fake_iam_world, platform, settings
from emulators.iam import IamEmulator
from emulators.metadata import MetadataServer
from emulators.processes import EmulatorError, Launched, ProcessGroup
from emulators.runtime import Runtime
from emulators.source import archive, files

STOP_TIMEOUT: Final = 10.0
"""Seconds from SIGTERM to SIGKILL (https://cloud.google.com/run/docs/container-contract#instance-shutdown)."""


class ContainerError(EmulatorError):
    """A container does not start, though nothing is missing; the message has the end of its log."""


@dataclass(frozen=True)
class Cloud:
    """A running deployment.

    registry     the container of the registry
    collect      the container of the collector
    accounts     who there is, with their tokens
    environment  the variables by which a process on this machine works on the stores of the deployment
    iam          who may do what
    variables    of each function's containers, with `{port}` where the container's port stands
    """

    registry: Launched
    collect: Launched
    accounts: Accounts
    environment: Mapping[str, str]
    iam: IamEmulator
    variables: Mapping[str, Mapping[str, str]]
    _family: ProcessGroup
    _runtimes: Mapping[str, Runtime]

    @property
    def host(self) -> str:
        """HOST:PORT of the registry, as clients write it before a repository."""
        return f"127.0.0.1:{self.registry.port}"

    @property
    def token(self) -> str:
        """The access token of an owner of everything."""
        return self.accounts.owner

    @property
    def collect_url(self) -> str:
        """The address of the collector, which is the audience of the tokens that it takes."""
        return f"http://127.0.0.1:{self.collect.port}"

    @contextlib.contextmanager
    def run_another(self, function: str = "registry", **variables: str) -> Iterator[Launched]:
        """One more container of a function, on the same stores, for tests that stop it or need other settings."""
        started = _launch(self._family, self._runtimes[function], function, {**self.variables[function], **variables})
        try:
            yield started
        finally:
            started.stop(STOP_TIMEOUT)


@contextlib.contextmanager
def deployed(emulators: Emulators | None = None, with_pip: bool = False) -> Iterator[Cloud]:
    """A deployment, from now to the end of the block.

    Args:
        emulators: on whose stores; new ones where there are none.
        with_pip: install what the functions require from the package index; else link what this Python has.

    Raises:
        EmulatorError: something is missing; the message says how to install it.
        ContainerError: a container does not start.
    """
    with contextlib.ExitStack() as stack:
        beside = emulators or stack.enter_context(running())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lading-cloud-")))
        family = stack.enter_context(ProcessGroup())
        accounts = Accounts.create()
        iam = IamEmulator.start(family, folder)
        iam.world.write_text(json.dumps(fake_iam_world(accounts)))
        stores = {**beside.fresh_stores(), "LADING_IAM_EMULATOR_HOST": iam.url}
        url = "http://127.0.0.1:{port}"
        variables: dict[str, Mapping[str, str]] = {}
        runtimes: dict[str, Runtime] = {}
        containers: dict[str, Launched] = {}
        stack.callback(_stop, containers)
        for function, account in (("registry", accounts.registry), ("collect", accounts.collect)):
            metadata = MetadataServer.start(family, account, folder / f"{function}.json")
            own = {**stores, **settings(function, url, stores, accounts), **platform(function)}
            variables[function] = {**own, **metadata.environment()}
            runtimes[function] = Runtime.install(folder / function, archive(files(function)), with_pip)
            containers[function] = _launch(family, runtimes[function], function, variables[function])
            url = f"http://127.0.0.1:{containers['registry'].port}"
        yield Cloud(containers["registry"], containers["collect"], accounts, stores, iam, variables, family, runtimes)


def _stop(containers: Mapping[str, Launched]) -> None:
    """End all containers at once."""
    for container in containers.values():
        container.process.terminate()
    for container in containers.values():
        container.stop(STOP_TIMEOUT)


def _launch(family: ProcessGroup, runtime: Runtime, function: str, variables: Mapping[str, str]) -> Launched:
    """Start a container: with these variables and those of its image, and none of ours."""
    try:
        return family.launch(function, runtime.command, {**runtime.environment(), **variables}, runtime.workspace)
    except EmulatorError as error:
        raise ContainerError(str(error)) from None
