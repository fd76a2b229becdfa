"""Containers of the registry, as tests ask them."""

from emulators.cloud import Cloud
from emulators.processes import ServerProcess
from tests.support.server_process import Server, basic


def server_of(container: ServerProcess, cloud: Cloud) -> Server:
    """A container of the registry, for an owner of everything."""
    return Server(container.process, container.port, container.log, basic("oauth2accesstoken", cloud.token))
