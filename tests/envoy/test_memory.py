"""What Envoy, the supervisor and the server need together, with many clients that stand still."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lading_storage.digests import digest_of
from tests.support.function_commands import AS_BUILT
from tests.support.http2_client import Client, connected
from tests.support.large_bodies import digest_of_zeros, send
from tests.support.server_process import Server, serving

MIB = 1024 * 1024
INSTANCE = 512 * MIB
"""Memory of an instance, as Terraform has it by default."""

MANY = 80
"""Requests at a time of an instance, as Terraform has it by default."""


LIMITS = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max"))
"""Where a control group is made, and the file of its limit: version 1, and version 2."""


@pytest.fixture
def environment() -> Iterator[Mapping[str, str]]:
    """Blobs in a folder, which the server streams itself; it takes all these requests of one user.

    On a disk: `tmp_path` may be in memory (.ci/run), which counts as that of the processes that write to it.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield {"LADING_DATA": str(Path(folder, "data")), "LADING_THREADS": "400"}


@pytest.fixture
def group() -> Iterator[Path | None]:
    """A group of processes with the memory of an instance; None where this machine lets us make none."""
    for parent, limit in LIMITS:
        folder = Path(parent, f"lading-{os.getpid()}")
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / limit).write_text(str(INSTANCE))
            yield folder
            return
        except OSError:
            continue
        finally:
            folder.rmdir()
    yield None


@pytest.fixture
def cloud(cloud_environment: tuple[Mapping[str, str], str], group: Path | None, tmp_path: Path) -> Iterator[Server]:
    """The registry with the memory of an instance, where this machine can limit it."""
    environment, authorization = cloud_environment
    enter = ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"] if group else []
    with serving(environment, tmp_path / "log", command=[*enter, *AS_BUILT]) as server:
        server.authorization = authorization
        yield server


def resident(server: Server) -> dict[str, int]:
    """MiB in memory of each process, without the pages of files, which the kernel can drop."""
    pids = {"supervisor": server.process.pid, **server.children()}
    return {name: sum(_memory(pid, "RssAnon", "RssShmem")) // MIB for name, pid in pids.items()}


def _memory(pid: int, *names: str) -> list[int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [int(line.split()[1]) * 1024 for line in lines if line.split(":")[0] in names]


@contextlib.contextmanager
def stalled(server: Server, digest: str) -> Iterator[list[Client]]:
    """80 uploads that stand still with full windows, and 80 downloads that are not read; 20 streams a connection."""
    authorization = ("authorization", server.authorization)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(server.port, server.host)) for _ in range(2 * MANY // 20)]
        for client in clients[::2]:
            for _ in range(20):
                posted = client.reply(client.send("POST", "/v2/a/blobs/uploads/", [authorization]))
                path = posted.headers["location"].removeprefix(f"http://{server.host}")
                client.send_body(client.send("PATCH", path, [authorization], body=None), os.urandom(MIB))
        for client in clients[1::2]:
            client.reads = False
            client.h2.increment_flow_control_window(2**30)
            for _ in range(20):
                client.send("GET", f"/v2/a/blobs/{digest}", [authorization])
            with contextlib.suppress(TimeoutError):
                client.sock.settimeout(1)
                while True:
                    client.receive()
        yield clients


def test_stalled_uploads_and_unread_downloads_fit_into_an_instance(cloud: Server) -> None:
    large = os.urandom(16 * MIB)
    digest = digest_of(large)
    assert cloud.request("POST", f"/v2/a/blobs/uploads/?digest={digest}", large)[0].status == 201
    with stalled(cloud, digest) as clients:
        time.sleep(1)
        held = [reply for client in clients for reply in client.replies.values() if reply.status in (0, 200)]
        assert len(held) == 2 * MANY
        assert sum(resident(cloud).values()) * MIB < INSTANCE * 3 // 4, resident(cloud)
        # The heap's limit is not reached: a further client is served.
        assert cloud.request("GET", "/v2/")[0].status == 200


@pytest.mark.parametrize("size", [64 * MIB, 512 * MIB])
def test_a_body_is_never_in_envoys_memory(cloud: Server, size: int) -> None:
    """The server's own memory, and larger bodies: tests/serving/test_big_layers.py."""
    response, _ = cloud.request("POST", "/v2/a/blobs/uploads/")
    path = response.headers["Location"].removeprefix(f"http://{cloud.host}")
    assert send(cloud, "--http2-prior-knowledge", path, size) == "202"
    assert cloud.request("PUT", f"{path}?digest={digest_of_zeros(size)}")[0].status == 201
    (peak,) = _memory(cloud.children()["envoy"], "VmHWM")
    assert peak < 100 * MIB
