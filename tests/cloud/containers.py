"""Containers of the registry, as tests ask them."""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from emulators import EmulatorError, Emulators
from emulators.cloud import Cloud, ContainerError, deployed
from emulators.processes import ServerProcess
from tests.cloud.h2c_requests import H2cConnection
from tests.support.requirements import skip_or_fail
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


@contextlib.contextmanager
def deployed_or_skipped(
    emulators: Emulators, *, with_sidecar: bool = False, with_attest: bool = False
) -> Iterator[Cloud]:
    """Run a deployment on the stores of these emulators; the test is skipped where something is not installed."""
    try:
        with deployed(emulators, with_sidecar=with_sidecar, with_attest=with_attest) as started:
            yield started
    except ContainerError:
        raise
    except EmulatorError as error:
        skip_or_fail(str(error))


def processes_of(session: int) -> dict[int, str]:
    """Return the processes of a session that run, and what runs in them."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().rpartition(")")
        except OSError:
            continue
        state, _, _, leader = rest.split()[:4]
        if int(leader) == session and state not in "ZX":
            found[int(path.parent.name)] = name.partition("(")[2]
    return found
