"""What 50 hostile clients cost others: pulls and logins beside each kind of them, and beside all kinds at once.

The registry is one of its own, whose users are in files. The same is measured alone and beside the attackers: pulls
and logins at a fixed rate, each from the moment when it was due. A first login is one whose password the registry has
not seen since it began, so that it must hash it.
"""

import contextlib
import http.client
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from lading.auth.access_files import hash_password
from lading_storage.digests import digest_of
from tests.benchmarks.attackers import HOSTILE_REPOSITORY, HOSTILE_SECRET, HOSTILE_USER, KINDS, LARGE, VICTIM
from tests.benchmarks.peers import REPOSITORY, Peer
from tests.benchmarks.workload import Bench, Figures, UnsupportedWorkload, Workload
from tests.support import images
from tests.support.server_process import Server, basic, serving

ATTACKERS: Final = 50
GRANTS: Final = 1_000
"""Of one user, each on one repository; half of these are there."""

OTHERS: Final = 1_500
"""Repositories that this user may not see."""

MEASURE_SECONDS: Final = 5
"""Seconds of one measurement, for each of `--seconds`."""

WARM_UP_SECONDS: Final = 1.0
"""Seconds that attackers have before the measurement beside them begins."""

ANSWER_TIMEOUT: Final = 60.0
"""Seconds."""

SECRET: Final = "a password of all others"
CLIENTS: Final = 64
"""Requests of one kind that may wait for answers at a time."""

TAG: Final = "v1"
PULLS, LOGINS, FIRST_LOGINS = 20.0, 5.0, 2.0
"""A second."""


@dataclass
class AttackedRegistry:
    """A registry to be attacked, the path of a manifest in it, and the users who have not logged in yet."""

    server: Server
    manifest: str
    users_not_logged_in: Iterator[str]

    def request(self, path: str, authorization: str) -> bytes:
        """The answer to a request over a connection of its own. Raises OSError where it is no 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=ANSWER_TIMEOUT)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Authorization": authorization})
            answer = connection.getresponse()
            content = answer.read()
        if answer.status != 200:
            raise OSError(f"{path}: {answer.status}")
        return content

    def token(self, user: str) -> str:
        """Log in."""
        content = self.request(f"/v2/token?scope=repository:{REPOSITORY}:pull", basic(user, SECRET))
        text: str = json.loads(content)["token"]
        return text


@dataclass
class Series:
    """One kind of request, again and again at a fixed rate."""

    act: Callable[[], object]
    rate: float
    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    def run(self, length: float) -> None:
        """Go on for so many seconds. A slow answer holds up no other request, as they come from different clients."""
        began = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as clients:
            for number in range(max(1, int(length * self.rate))):
                due = began + number / self.rate
                time.sleep(max(0.0, due - time.monotonic()))
                clients.submit(self._measure, due)

    def _measure(self, due: float) -> None:
        try:
            self.act()
        except (OSError, http.client.HTTPException):
            self.failed += 1
        self.seconds.append(time.monotonic() - due)

    @property
    def p99(self) -> float:
        """Milliseconds."""
        return 1000 * sorted(self.seconds)[math.ceil(0.99 * len(self.seconds)) - 1]


def measure(besieged: AttackedRegistry, length: float) -> dict[str, Series]:
    """Pulls and logins, all at once, for so long."""
    authorization = f"Bearer {besieged.token(VICTIM)}"
    series = {
        "pull": Series(lambda: besieged.request(besieged.manifest, authorization), PULLS),
        "login": Series(lambda: besieged.token(VICTIM), LOGINS),
        "first login": Series(lambda: besieged.token(next(besieged.users_not_logged_in)), FIRST_LOGINS),
    }
    threads = [threading.Thread(target=each.run, args=[length]) for each in series.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return series


@contextlib.contextmanager
def run_attackers(address: str, kind: str, number: int) -> Iterator[None]:
    """So many attackers of a kind, until the block ends."""
    command = [sys.executable, "-m", "tests.benchmarks.attackers", address, kind, str(number)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        time.sleep(WARM_UP_SECONDS)
        yield
        process.communicate()


def _start_attacked_registry(bench: Bench) -> AttackedRegistry:
    """Begin a registry with all that is in it."""
    folder = bench.folder / "hostile"
    folder.mkdir()
    names = [
        f"newcomer-{number}"
        for number in range(int(4 * FIRST_LOGINS * MEASURE_SECONDS * bench.seconds * len(WORKS)) + 100)
    ]
    hashed, hostile = hash_password(SECRET), hash_password(HOSTILE_SECRET)
    (folder / "users").write_text(
        "".join(f"{name}:{hashed}\n" for name in [VICTIM, *names]) + f"{HOSTILE_USER}:{hostile}\n"
    )
    granted = [HOSTILE_REPOSITORY, *(f"mallory/app-{number:04}" for number in range(1, GRANTS))]
    (folder / "grants").write_text(
        f"{VICTIM} * pull,push,delete\n" + "".join(f"{HOSTILE_USER} {name} pull,push\n" for name in granted)
    )
    variables = {
        "LADING_ACCESS": "users",
        "LADING_DATA": str(folder / "data"),
        "LADING_USERS": str(folder / "users"),
        "LADING_GRANTS": str(folder / "grants"),
        "LADING_BODY_TIMEOUT": "30",
    }
    server = bench.stack.enter_context(serving(variables, folder / "log", new=True))
    server.authorization = basic(VICTIM, SECRET)
    there = [*granted[:: 2 * bench.scale], *(f"other/app-{number:04}" for number in range(OTHERS // bench.scale))]
    for name in (REPOSITORY, *there):
        _push_image(server, name)
    _push_blob(server, HOSTILE_REPOSITORY, LARGE)
    return AttackedRegistry(server, f"/v2/{REPOSITORY}/manifests/{TAG}", iter(names))


def _push_image(server: Server, repository: str) -> None:
    _push_blob(server, repository, images.EMPTY_CONFIG)
    content = images.manifest([])
    media = {"Content-Type": json.loads(content)["mediaType"]}
    assert server.request("PUT", f"/v2/{repository}/manifests/{TAG}", content, media)[0].status == 201


def _push_blob(server: Server, repository: str, content: bytes) -> None:
    path = f"/v2/{repository}/blobs/uploads/?digest={digest_of(content)}"
    assert server.request("POST", path, content)[0].status == 201


def _attack(bench: Bench, peer: Peer, kind: str) -> Figures:
    if peer.name != "lading":
        raise UnsupportedWorkload("its users and their rights are kept elsewhere")
    besieged: AttackedRegistry = bench.once("besieged", lambda: _start_attacked_registry(bench))
    length = MEASURE_SECONDS * bench.seconds
    alone = measure(besieged, length)
    with run_attackers(besieged.server.host, kind, ATTACKERS):
        beside = measure(besieged, length)
    figures: Figures = {}
    for name, series in beside.items():
        figures[f"{name}, p99 ms alone"] = alone[name].p99
        figures[f"{name}, p99 ms beside"] = series.p99
        figures[f"{name}, times"] = series.p99 / alone[name].p99
        figures[f"{name}, failed"] = series.failed
    return figures


def _row(kind: str) -> Workload:
    text = f"pulls and logins beside {ATTACKERS} clients: {kind}"
    return Workload(f"hostile-{kind}", text, partial(_attack, kind=kind), once=True)


WORKS = tuple(_row(kind) for kind in (*KINDS, "all"))
