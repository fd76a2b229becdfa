"""The registry in the cloud's shape: Envoy, the supervisor and the server, as functions/main.py starts them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.envoy_proxy import envoy_binary
from tests.support.function_commands import AS_BUILT, IN_CLOUD_RUN
from tests.support.server_process import Server, serving, user_environment


@pytest.fixture
def cloud_environment(environment: Mapping[str, str], tmp_path: Path) -> tuple[Mapping[str, str], str]:
    """The variables of such a registry on a pair of stores, and the Authorization of its user."""
    envoy_binary()
    variables, authorization = user_environment(tmp_path / "access")
    return {**environment, **IN_CLOUD_RUN, **variables, "LADING_TRUSTED_HOPS": "1"}, authorization


@pytest.fixture
def cloud(cloud_environment: tuple[Mapping[str, str], str], tmp_path: Path) -> Iterator[Server]:
    """Such a registry, as a process."""
    environment, authorization = cloud_environment
    with serving(environment, tmp_path / "log", command=AS_BUILT) as server:
        server.authorization = authorization
        yield server
