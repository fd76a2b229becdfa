"""Fixtures: one deployment for all tests of the session."""

from collections.abc import Iterator

import pytest

from emulators import Emulators
from emulators.cloud import Cloud
from tests.cloud import google_front_end
from tests.cloud.containers import deployed_or_skipped, server_of
from tests.support.client_fixtures import commands, docker, docker_address, layout
from tests.support.server_process import Server, wait_until_ready

__all__ = ["commands", "docker", "docker_address", "layout"]


@pytest.fixture(scope="session")
def cloud(emulators: Emulators) -> Iterator[Cloud]:
    """A deployment, on the stores of the session's emulators."""
    with deployed_or_skipped(emulators) as started:
        yield started


@pytest.fixture(scope="session")
def registry(cloud: Cloud) -> Server:
    """The deployment's registry, for an owner of everything."""
    return server_of(cloud.registry, cloud)


@pytest.fixture(scope="session")
def through_google(cloud: Cloud) -> Iterator[Server]:
    """Another container of the registry, which clients reach through Google's front, over h2c."""
    with google_front_end.google_front_end(cloud) as server:
        wait_until_ready(server)
        yield server


@pytest.fixture(params=["registry", "through_google"])
def reached(request: pytest.FixtureRequest) -> Server:
    """The registry, as clients reach it over HTTP/1.1, and through Google's front over h2c."""
    server: Server = request.getfixturevalue(request.param)
    return server
