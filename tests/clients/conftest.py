"""What the tests of clients share."""

from tests.support.client_fixtures import commands, content, ctr, docker, docker_address, layout

__all__ = ["commands", "content", "ctr", "docker", "docker_address", "layout"]
