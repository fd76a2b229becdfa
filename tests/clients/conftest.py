"""What the tests of clients share."""

from tests.clients.program_images import program, pushed, start
from tests.clients.pulling_clients import short_folder
from tests.support.client_fixtures import (
    commands,
    content,
    ctr,
    ctr2,
    docker,
    docker_address,
    kubelet,
    kubelet2,
    layout,
    start_buildkit,
)

__all__ = [
    "commands",
    "content",
    "ctr",
    "ctr2",
    "docker",
    "docker_address",
    "kubelet",
    "kubelet2",
    "layout",
    "program",
    "pushed",
    "short_folder",
    "start",
    "start_buildkit",
]
