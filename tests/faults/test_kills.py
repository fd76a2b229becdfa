"""kill -9, at any moment: whatever was acknowledged is there, byte for byte, and nothing needs a repair."""

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.content.uploads import Body
from lading.registry.owner_mark import is_mark
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.protocols import Replace
from lading_storage.records.core import Key
from lading_storage.records.jobs import Job
from lading_storage.stores import Stores
from tests.faults import NIGHTLY
from tests.faults.load_clients import Client, Crane, Worker, prepare
from tests.support.registry_pushes import pull_blob, push_image
from tests.support.requirements import find_program
from tests.support.server_process import Server, serving

ROUNDS = 500 if NIGHTLY else 15
"""On each pair of stores."""

KILLED_COLLECTIONS = 50 if NIGHTLY else 3
"""That were killed at work; of those that had ended before, as many as it takes, within reason."""

MAX_COLLECTIONS = 30 * KILLED_COLLECTIONS

MAX_KILL_DELAY = 0.8
"""Seconds that a server lives while clients work."""


@contextmanager
def working(clients: Sequence[Client], server: Server) -> Iterator[None]:
    """All clients at work, until the end of the block."""
    stop = Event()
    threads = [Thread(target=client.work, args=(server.port, stop)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def assert_nothing_is_lost(clients: Sequence[Client]) -> None:
    assert [line for client in clients for line in client.ledger.lost] == []


def assert_database_intact(environment: Mapping[str, str]) -> None:
    """SQLite's own check of its file, where there is one."""
    for path in Path(environment.get("LADING_DATA", "/nowhere")).glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_kill_loses_nothing_that_was_acknowledged(environment: Mapping[str, str], tmp_path: Path) -> None:
    crane = find_program("crane", "go install github.com/google/go-containerregistry/cmd/crane@latest")
    clients: list[Client] = []
    for number in range(4 * ROUNDS):
        if number >= ROUNDS and sum(client.outcomes[201] for client in clients) > ROUNDS:
            break  # on a slow machine it takes more kills until enough was acknowledged
        with serving(environment, tmp_path / f"log-{number}") as server:
            if not clients:
                shared, image = prepare(server.port)
                clients = [*(Worker(number, shared) for number in range(4)), Crane(4, crane, image)]
            for client in clients:
                client.ledger.check(server.port)
            assert_nothing_is_lost(clients)
            with working(clients, server):
                time.sleep(random.uniform(0.05, MAX_KILL_DELAY))
                server.process.kill()
        assert_database_intact(environment)
    with serving(environment, tmp_path / "log") as server:
        checked = sum(client.ledger.check_all(server.port) for client in clients)
    assert_nothing_is_lost(clients)
    assert checked > ROUNDS
    assert sum(client.outcomes[201] for client in clients) > ROUNDS
    assert sum(client.outcomes[0] for client in clients) >= ROUNDS / 2, "kills that nobody noticed prove nothing"


def killed_while_collecting(environment: Mapping[str, str], stores: Stores) -> bool:
    """Start a collection, and kill it some time after it has begun; return whether it was at work."""
    command = [sys.executable, "-m", "lading.cli", "gc", "--quiesced", "--undelete", "0s"]
    with subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL) as process:
        while job_of(stores).until is None and process.poll() is None:
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.1))
        process.kill()
    # Its lease is over.
    job = job_of(stores)
    stores.metadata.commit([Replace(replace(job, until=None))])
    return job.until is not None


def job_of(stores: Stores) -> Job:
    key = Key(Job, "collect")
    return stores.metadata.read([key])[key] or Job(id="collect", created=datetime.now(UTC))


def test_a_collection_that_is_killed_loses_nothing_and_the_next_one_clears_the_rest(
    environment: Mapping[str, str], stores: Stores, registry: Registry
) -> None:
    none = timedelta(0)
    collector = Collector(registry, GracePeriods(none, none, none, none))
    collector.run()
    kept, killed = [], 0
    for number in range(MAX_COLLECTIONS):
        images = [push_image(registry, f"r{each}", f"v{number}", layers=2) for each in range(5)]
        for image in images[1:]:
            registry.deletion.manifest(image.repository, image.digest)
        registry.uploads.append("r0", registry.uploads.start("r0").id, Body([b"left alone"]))
        kept += images[:1]
        killed += killed_while_collecting(environment, stores)
        if killed == KILLED_COLLECTIONS:
            break

    report = collector.run()

    assert killed == KILLED_COLLECTIONS, "too few were killed at work"
    assert report is not None
    assert report.finished
    assert sorted(
        registry.manifests.find("r0", tag).digest for tag in registry.tags.names("r0", "", 1000).items
    ) == sorted(each.digest for each in kept)
    links = [registry.blobs.get("r0", digest) for digest in {digest for each in kept for digest in each.blobs}]
    assert all(digest_of(pull_blob(registry, "r0", link.id)) == link.id for link in links)
    objects = {name for name in stores.blobs.names("", limit=10_000) if not is_mark(name)}
    assert objects == {link.object for link in links}
