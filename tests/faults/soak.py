"""`python -m tests.faults.soak [--minutes N] [--google]`: mixed load for long, with a kill each 30 seconds.

Clients push, mount, move and delete at a server that is killed and started again, and do again what got no answer or a
503, as real ones do. At the end: how many failed for good, whether anything is lost that was acknowledged, and whether
memory grew from the first lives of the server to the last.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

from emulators import running
from tests.faults.exact_client import ExactClient, RequestOutcome
from tests.faults.load_clients import Worker, prepare
from tests.support.server_process import serving

KILL_INTERVAL: Final = 30.0
"""Seconds until the kill."""

CLIENTS: Final = 6
PAUSE: Final = 0.1
"""Seconds between what one client does: an hour of it fits on a disk."""

SIZES: Final = (100, 10_000, 10_000, 300_000)
MAX_ATTEMPTS: Final = 8
FIRST_PAUSE: Final = 0.25
"""Seconds between tries, doubled each time: half a minute in all."""

MAX_FAILURE_RATE: Final = 0.001
MAX_MEMORY_GROWTH: Final = 1.25


class RetryingClient(ExactClient):
    """Does again what got no answer, or a 503, at whichever server lives by then."""

    def __init__(self) -> None:
        """Ask the server at `port`, once that is set."""
        super().__init__(0)
        self.outcomes: Counter[str] = Counter()
        self._trying = False

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> RequestOutcome:
        """One request."""
        told = self._retry(lambda: super(RetryingClient, self).request(method, path, body, headers))
        # What is gone at the second try was there at the first.
        return told._replace(status=202) if method == "DELETE" and told.status == 404 else told

    def push_blob(self, repository: str, content: bytes) -> RequestOutcome:
        """Push a blob, each time from the beginning."""
        return self._retry(lambda: super(RetryingClient, self).push_blob(repository, content))

    def _retry(self, attempt: Callable[[], RequestOutcome]) -> RequestOutcome:
        if self._trying:
            return attempt()
        self._trying, told = True, RequestOutcome(0)
        for number in range(MAX_ATTEMPTS):
            told = attempt()
            if not told.unknown:
                break
            self.close()
            time.sleep(FIRST_PAUSE * 2**number)
        self._trying = False
        self.outcomes["failed" if told.unknown else "answered" if number == 0 else "answered after tries"] += 1
        return told

    def move_to(self, port: int) -> None:
        """Ask another server from the next request on."""
        self.port = port


def work(worker: Worker, client: RetryingClient, stop: Event) -> None:
    """Let a worker act until told to stop."""
    while not stop.wait(PAUSE):
        worker.run_random_operation(client)


def soak(environment: Mapping[str, str], folder: Path, minutes: float) -> dict[str, Any]:
    """Load for so long; return the figures."""
    stop, clients, memory = Event(), [RetryingClient() for _ in range(CLIENTS)], []
    workers: list[Worker] = []
    threads: list[Thread] = []
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        with serving(environment, folder / "log", new=True) as server:
            for client in clients:
                client.move_to(server.port)
            if not workers:
                shared, _ = prepare(server.port)
                workers = [Worker(number, shared, SIZES) for number in range(CLIENTS)]
                threads = [Thread(target=work, args=(*pair, stop)) for pair in zip(workers, clients, strict=True)]
                for thread in threads:
                    thread.start()
            time.sleep(max(0.0, min(KILL_INTERVAL, end - time.monotonic())))
            memory.append(server.peak_memory())
            server.process.kill()
    with serving(environment, folder / "log", new=True) as server:
        for client in clients:
            client.move_to(server.port)
        stop.set()
        for thread, client in zip(threads, clients, strict=True):
            thread.join()
            client.close()
        checked = sum(worker.ledger.check_all(server.port) for worker in workers)
    return figures(workers, clients, memory, minutes) | {"paths checked": checked}


def figures(
    workers: Sequence[Worker], clients: Sequence[RetryingClient], memory: Sequence[int], minutes: float
) -> dict[str, Any]:
    """What came of it."""
    outcomes = sum((client.outcomes for client in clients), Counter[str]())
    some = max(1, len(memory) // 4)
    first, last = (statistics.median(part) / 2**20 for part in (memory[:some], memory[-some:]))
    return {
        "minutes": minutes,
        "kills": len(memory),
        "outcomes": dict(outcomes),
        "failed": outcomes["failed"] / outcomes.total(),
        "lost": [line for worker in workers for line in worker.ledger.lost],
        "peak MiB of the first lives": round(first, 1),
        "peak MiB of the last lives": round(last, 1),
        "good": outcomes["failed"] <= MAX_FAILURE_RATE * outcomes.total()
        and not any(worker.ledger.lost for worker in workers)
        and last <= MAX_MEMORY_GROWTH * first,
    }


@contextlib.contextmanager
def stores(google: bool, folder: Path) -> Iterator[Mapping[str, str]]:
    """The variables of a pair of stores."""
    if not google:
        yield {"LADING_DATA": str(folder / "data")}
        return
    with running() as emulators:
        yield emulators.fresh_stores()


def main() -> int:
    """Run; answers 1 where anything was not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description="mixed load, with kills")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--google", action="store_true", help="on Google's emulators, not on a folder and SQLite")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lading-soak-") as name, stores(parsed.google, Path(name)) as environment:
        result = soak(environment, Path(name), parsed.minutes)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if result["good"] else 1


if __name__ == "__main__":
    sys.exit(main())
