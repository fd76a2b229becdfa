"""Containers of the registry, as tests ask them."""

import secrets
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from emulators.cloud import Cloud
from emulators.processes import ServerProcess
from tests.cloud.h2c_requests import H2cConnection
from tests.support.server_process import Server, basic


def server_of(container: ServerProcess, cloud: Cloud) -> Server:
    """A container of the registry, for an owner of everything."""
    return Server(container.process, container.port, container.log, basic("oauth2accesstoken", cloud.token))


MIB: Final = 1024 * 1024


def repository() -> str:
    return f"team-b/{secrets.token_hex(4)}"


def open_upload(http2: H2cConnection, name: str) -> str:
    """Open an upload session; return its path."""
    answer = http2.request("POST", f"/v2/{name}/blobs/uploads/")
    assert answer.status == 202, answer
    return path_of(answer.headers["location"])


def path_of(url: str) -> str:
    """Return the path and the query of a URL of the registry's."""
    parts = urlsplit(url)
    return urlunsplit(("", "", parts.path, parts.query, ""))
