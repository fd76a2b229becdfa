"""Fixtures: one deployment for all tests of the session."""

from collections.abc import Iterator

import pytest

from emulators import EmulatorError, Emulators
from emulators.cloud import Cloud, ContainerError, deployed
from emulators.processes import Launched
from tests.clients.conftest import commands, docker, docker_address, layout  # noqa: F401  # fixtures
from tests.needs import missing
from tests.servers import Server, basic


@pytest.fixture(scope="session")
def cloud(emulators: Emulators) -> Iterator[Cloud]:
    """A deployment, on the stores of the session's emulators."""
    try:
        with deployed(emulators) as started:
            yield started
    except ContainerError:
        raise
    except EmulatorError as error:
        missing(str(error))


@pytest.fixture(scope="session")
def registry(cloud: Cloud) -> Server:
    """The deployment's registry, for an owner of everything."""
    return server_of(cloud.registry, cloud)


def server_of(container: Launched, cloud: Cloud) -> Server:
    """A container of the registry, for an owner of everything."""
    return Server(container.process, container.port, container.log, basic("oauth2accesstoken", cloud.token))
