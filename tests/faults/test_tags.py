"""Tags are linearizable: many clients at several servers see one order of all moves, though a server is killed."""

import contextlib
import json
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lading_storage.digests import digest_of
from tests.faults import NIGHTLY
from tests.faults.exact_client import ExactClient, RequestOutcome
from tests.faults.linearizability import NO_END, ObservedOperation, is_linearizable
from tests.support import images
from tests.support.server_process import Server, serving

SERVERS, CLIENTS = 3, 16
TAGS = ("v1", "v2", "v3", "v4")
OPERATIONS = 8_000 if NIGHTLY else 800
"""In all."""


class Busy(threading.Thread):
    """A client that puts, gets and deletes tags at random, and keeps what it saw; each digest is put once.

    One that gets no answer goes to the next server.
    """

    def __init__(self, number: int, ports: Sequence[int], count: int) -> None:
        super().__init__(name=f"client-{number}")
        self.seen: dict[str, list[ObservedOperation]] = defaultdict(list)
        self.told: Counter[int] = Counter()
        self._number, self._ports, self._count = number, ports, count
        self._client = ExactClient(ports[number % len(ports)])
        self._chance = random.Random(number)

    def run(self) -> None:
        with contextlib.closing(self._client):
            for number in range(self._count):
                tag = self._chance.choice(TAGS)
                action = self._chance.choices([self.put, self.get, self.delete], [35, 50, 15])[0]
                began = time.monotonic()
                told, seen = action(tag, f"{self._number}/{number}")
                ended = NO_END if told.unknown else time.monotonic()
                self.told[told.status] += 1
                self.seen[tag].append(seen._replace(began=began, ended=ended))
                if not told.status:
                    self._client.port = self._ports[(self._ports.index(self._client.port) + 1) % len(self._ports)]

    def put(self, tag: str, note: str) -> tuple[RequestOutcome, ObservedOperation]:
        content = images.manifest([], annotations={"note": note})
        return self._client.put_manifest("a", tag, content), ObservedOperation(0, 0, "put", digest_of(content))

    def get(self, tag: str, _: str) -> tuple[RequestOutcome, ObservedOperation]:
        told = self._client.request("GET", f"/v2/a/manifests/{tag}")
        return told, ObservedOperation(0, 0, "get", digest_of(told.body) if told.status == 200 else None)

    def delete(self, tag: str, _: str) -> tuple[RequestOutcome, ObservedOperation]:
        told = self._client.request("DELETE", f"/v2/a/manifests/{tag}")
        return told, ObservedOperation(0, 0, "delete", None, None if told.unknown else told.status == 202)


def work(clients: Sequence[Busy], victim: Server) -> None:
    """Let all clients work, and kill a server when half is done."""
    for client in clients:
        client.start()
    while sum(client.told.total() for client in clients) < OPERATIONS / 2:
        time.sleep(0.02)
    victim.process.kill()
    for client in clients:
        client.join()


def moves_of(server: Server, tag: str) -> list[dict[str, Any]]:
    """The whole history of a tag, oldest first."""
    moves: list[dict[str, Any]] = []
    path = f"/v2/_lading/a/history?tag={tag}"
    while path:
        answer, body = server.request("GET", path)
        assert answer.status == 200, body
        moves += json.loads(body)["moves"]
        link = answer.headers.get("Link", "")
        path = link[link.index("/v2/") : link.index(">")] if link else ""
    return moves[::-1]


def assert_gapless(moves: Sequence[Mapping[str, Any]], seen: Sequence[ObservedOperation]) -> None:
    """Each move begins where the one before it ended; what was acknowledged is there once, and nothing else."""
    assert [move["number"] for move in moves] == list(range(1, len(moves) + 1))
    assert [move["before"] for move in moves] == [None, *(move["digest"] for move in moves[:-1])]
    put = Counter(move["digest"] for move in moves if move["digest"])
    acknowledged = {each.digest for each in seen if each.action == "put" and each.ended != NO_END}
    assert set(put.values()) <= {1}
    assert acknowledged <= put.keys() <= {each.digest for each in seen if each.action == "put"}


def test_tags_are_linearizable(environment: Mapping[str, str], tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(serving(environment, tmp_path / f"log-{each}")) for each in range(SERVERS)]
        with contextlib.closing(ExactClient(servers[0].port)) as client:
            assert client.push_blob("a", images.EMPTY_CONFIG).status == 201
        ports = [server.port for server in servers]
        clients = [Busy(number, ports, OPERATIONS // CLIENTS) for number in range(CLIENTS)]
        work(clients, victim=servers[0])

        told = sum((client.told for client in clients), Counter[int]())
        assert set(told) <= {0, 200, 201, 202, 404, 503}, told
        assert told[0] + told[503] < OPERATIONS / 20, told
        for tag in TAGS:
            seen = [each for client in clients for each in client.seen[tag]]
            assert is_linearizable(seen), tag
            assert_gapless(moves_of(servers[1], tag), seen)
