"""Large bodies, made as they are sent."""

import hashlib
import subprocess
from collections.abc import Iterator

from tests.support.requirements import find_program
from tests.support.server_process import Server

CHUNK_SIZE = 1024 * 1024


def zeros(size: int) -> Iterator[bytes]:
    """`size` bytes, in chunks, one of which is held at a time."""
    piece = bytes(CHUNK_SIZE)
    for at in range(0, size, CHUNK_SIZE):
        yield piece[: min(CHUNK_SIZE, size - at)]


def digest_of_zeros(size: int) -> str:
    """The digest of the same bytes."""
    hasher = hashlib.sha256()
    for piece in zeros(size):
        hasher.update(piece)
    return f"sha256:{hasher.hexdigest()}"


def send(server: Server, protocol: str, path: str, size: int) -> str:
    """PATCH zeros from a pipe; return the status."""
    curl = find_program("curl", "apt install curl")
    words = [curl, "-s", protocol, "-X", "PATCH", "-H", f"Authorization: {server.authorization}", "-T", "-"]
    zeros = subprocess.Popen(["head", "-c", str(size), "/dev/zero"], stdout=subprocess.PIPE)
    with zeros:
        done = subprocess.run(
            [*words, "-w", "%{http_code}", f"http://{server.host}{path}"],
            stdin=zeros.stdout,
            capture_output=True,
            text=True,
            timeout=600,
            check=True,
        )
    return done.stdout
