"""`python -m tests.benchmarks.attackers ADDRESS KIND NUMBER`: hostile clients, until standard input ends.

They come from one address that is not that of others, and each sends a request, waits for the answer and rests for a
moment: what is measured is what such a request costs others, and not how a processor is shared that has too much to do.
"""

import contextlib
import http.client
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from typing import Final

from lading_storage.digests import digest_of
from tests.support.server_process import basic

SOURCE: Final = "127.0.0.2"
IP_BIND_ADDRESS_NO_PORT: Final = 24
"""See ip(7); not in Python's socket module before 3.12."""

REST: Final = 0.05
"""Seconds between an answer and the next request of a client: 50 clients so send up to 1,000 a second."""

HOSTILE_USER, HOSTILE_SECRET = "mallory", "a password of mallory's"
"""A user whose password is right, and who has 1,000 grants."""

HOSTILE_REPOSITORY: Final = "mallory/app"
LARGE: Final = bytes(8 * 1024 * 1024)
"""A blob there that is more than a connection holds by itself."""

VICTIM: Final = "admin"
"""The user whose password is guessed."""

MAX_READ: Final = 1 << 16


class Attacker:
    """One hostile client: `step` is done again and again."""

    def __init__(self, address: str, number: int) -> None:
        """Nothing is sent yet."""
        self._host, _, port = address.partition(":")
        self._port = int(port)
        self._number = number
        self._turn = 0

    def step(self, stop: threading.Event) -> None:
        """Send something, and wait as an attacker would. Raises OSError and HTTPException."""
        raise NotImplementedError

    def request(self, path: str, authorization: str) -> None:
        """Send one request over a connection of its own, and read the answer."""
        connection = http.client.HTTPConnection(self._host, self._port)
        connection.sock = self.connect()
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Authorization": authorization})
            connection.getresponse().read()

    def connect(self) -> socket.socket:
        """Connect, and send nothing."""
        connection = socket.socket()
        connection.settimeout(60)
        # The kernel shall choose the port when it knows both ends. Before, it looks for one that no connection had
        # lately, and after some ten thousand connections that alone takes more than one of two processors.
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        try:
            connection.bind((SOURCE, 0))
            connection.connect((self._host, self._port))
        except OSError:
            connection.close()
            raise
        return connection


class WrongPasswords(Attacker):
    """Guesses the password of a user who is there, and of one who is not."""

    def step(self, stop: threading.Event) -> None:
        self._turn += 1
        user = VICTIM if self._turn % 2 else f"user-{self._number}"
        self.request("/v2/token", basic(user, f"guess-{self._number}-{self._turn}"))


class InventedTokens(Attacker):
    """Invents robots, Google's access and ID tokens, and tokens of the registry's own."""

    def step(self, stop: threading.Event) -> None:
        self._turn += 1
        invented = secrets.token_urlsafe(32)
        unknown_key = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImludmVudGVkIn0.e30."
        ways = (
            basic(f"robot+{invented[:8].lower()}", f"lading_{invented}"),
            basic("oauth2accesstoken", f"ya29.{invented}"),
            basic("oauth2accesstoken", unknown_key + invented),
            f"Bearer {unknown_key}{invented}",
        )
        self.request("/v2/", ways[self._turn % len(ways)])


class Listings(Attacker):
    """Lists what may be read with 1,000 grants, page by page and in one."""

    def step(self, stop: threading.Event) -> None:
        self._turn += 1
        size = (1000, 1, 100)[self._turn % 3]
        self.request(f"/v2/_catalog?n={size}", basic(HOSTILE_USER, HOSTILE_SECRET))


class SlowBodies(Attacker):
    """Sends a body a byte a second; every other one without credentials."""

    def step(self, stop: threading.Event) -> None:
        login = f"Authorization: {basic(HOSTILE_USER, HOSTILE_SECRET)}\r\n" if self._number % 2 else ""
        head = f"POST /v2/{HOSTILE_REPOSITORY}/blobs/uploads/?digest=sha256:{'0' * 64} HTTP/1.1\r\nHost: localhost\r\n"
        with self.connect() as connection:
            connection.sendall(f"{head}{login}Content-Length: 1000000\r\n\r\n".encode())
            for _ in range(30):
                if stop.wait(1):
                    return
                connection.sendall(b"x")


class NeverReading(Attacker):
    """Asks for more than a connection holds, and takes nothing of it."""

    def step(self, stop: threading.Event) -> None:
        head = f"GET /v2/{HOSTILE_REPOSITORY}/blobs/{digest_of(LARGE)} HTTP/1.1\r\nHost: localhost\r\n"
        request = f"{head}Authorization: {basic(HOSTILE_USER, HOSTILE_SECRET)}\r\n\r\n".encode()
        with self.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MAX_READ)
            connection.sendall(request * 4)
            stop.wait(120)


KINDS: Final[dict[str, Callable[[str, int], Attacker]]] = {
    "wrong-passwords": WrongPasswords,
    "invented-tokens": InventedTokens,
    "listings": Listings,
    "slow-bodies": SlowBodies,
    "never-reading": NeverReading,
}


def attack(attacker: Attacker, stop: threading.Event) -> None:
    """Go on until the end, whatever the server makes of it."""
    while not stop.wait(REST):
        with contextlib.suppress(OSError, http.client.HTTPException):
            attacker.step(stop)


def main(address: str, kind: str, number: str) -> None:
    """Attack until standard input ends; as many of each kind where the kind is `all`."""
    makers = list(KINDS.values()) if kind == "all" else [KINDS[kind]]
    stop = threading.Event()
    attackers = [makers[each % len(makers)](address, each) for each in range(int(number))]
    threads = [threading.Thread(target=attack, args=(each, stop), daemon=True) for each in attackers]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
