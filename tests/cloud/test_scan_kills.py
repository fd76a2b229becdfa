"""Scans by the function while everything dies: it, its process that reads layers, the registry, and their network.

Each image that was pushed ends scanned, or failed with a reason, and has one report; what is deleted goes whole.
"""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from emulators import Emulators
from emulators.cloud import Cloud
from emulators.processes import ServerProcess, kill_session
from emulators.scheduler import call
from lading import settings
from lading.composition import open_blobs, open_metadata
from lading.registry.registry import Registry
from lading_storage.stores import Stores
from tests.cloud.containers import processes_of, repository
from tests.faults import NIGHTLY
from tests.faults.grpc_fault_proxy import failing_grpc
from tests.faults.protocol_relay import Relay
from tests.support.fault_plan import FaultKind, Plan
from tests.support.http_fault_proxy import failing_http
from tests.support.scan_kills import kill_reading, reading_process, wait_for
from tests.support.scanned_images import (
    assert_goes_and_comes_back,
    assert_scanned,
    end_waits,
    push_scannable,
    unfinished,
)

STRIKES = 100 if NIGHTLY else 4
FAULTS = (FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.UNAVAILABLE)
STORES = ("LADING_BLOBS", "LADING_METADATA")
MAX_WAITING = 8
"""Images that wait for a scan: no more are pushed then."""

TIMEOUT = 300.0
"""Seconds until all images must have been scanned."""


@pytest.fixture
def environment(cloud: Cloud, emulators: Emulators) -> Mapping[str, str]:
    """Variables of the deployment, on a pair of stores that no other test uses: what is left there is garbage."""
    own = emulators.fresh_stores()
    return {**cloud.environment, **{name: own[name] for name in STORES}}


@pytest.fixture
def stores(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stores]:
    """The stores, opened in this process, which nothing disturbs."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    read = settings.load_settings(environment)
    with contextlib.closing(Stores(open_blobs(read.blobs), open_metadata(read.metadata))) as opened:
        yield opened


@contextlib.contextmanager
def proxied(environment: Mapping[str, str], plan: Plan) -> Iterator[Mapping[str, str]]:
    """Proxies before the emulators of the stores, which fail by plan, and the stores, as variables of a container."""
    firestore_address = environment["FIRESTORE_EMULATOR_HOST"]
    with contextlib.ExitStack() as stack:
        storage = stack.enter_context(failing_http(urlsplit(environment["STORAGE_EMULATOR_HOST"]).netloc, plan))
        firestore = stack.enter_context(Relay())
        firestore.http1 = stack.enter_context(failing_http(firestore_address, plan))
        firestore.http2 = stack.enter_context(failing_grpc(firestore_address, plan, firestore))
        yield {
            **{name: environment[name] for name in STORES},
            "STORAGE_EMULATOR_HOST": f"http://localhost:{storage}",
            "FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{firestore.port}",
        }


@dataclass(frozen=True)
class Pair:
    """A container of the registry, and one of its scanner."""

    cloud: Cloud
    registry: ServerProcess
    scanner: ServerProcess

    @property
    def lives(self) -> bool:
        return self.registry.process.poll() is None and self.scanner.process.poll() is None

    def scan(self) -> None:
        """Call the function, which may die meanwhile."""
        with contextlib.suppress(OSError):
            call(f"http://127.0.0.1:{self.scanner.port}", self.cloud.accounts.scheduler)

    def strike(self, what: str, plan: Plan, choices: random.Random) -> str:
        """Kill a part, or let calls of the registry to its stores fail for a while; return what it was."""
        if what == "network":
            plan.set(choices.choice(FAULTS), choices.randint(1, 20), lasting=choices.random() < 0.2)
            time.sleep(choices.uniform(0.5, 1.5))
            plan.clear()
            return what
        if what == "reading" and kill_reading(processes_of(self.scanner.process.pid)):
            return what
        part = self.registry if what == "registry" else self.scanner
        kill_session(part.process.pid)
        part.process.wait()
        return "registry" if part is self.registry else "scanner"


@contextlib.contextmanager
def running_pair(cloud: Cloud, variables: Mapping[str, str]) -> Iterator[Pair]:
    with cloud.run_another(**variables) as registry:
        url = f"http://127.0.0.1:{registry.port}"
        with cloud.run_another("scan", LADING_URL=url, LADING_VULNERABILITY_SOURCE="") as scanner:
            yield Pair(cloud, registry, scanner)


def test_kills_leave_each_image_scanned_or_failed_with_one_report(
    cloud: Cloud, environment: Mapping[str, str], stores: Stores
) -> None:
    choices, plan, struck, pushed = random.Random(21), Plan(), Counter[str](), 0
    registry, name = Registry(stores.blobs, stores.metadata, scans_images=True), repository()
    with proxied(environment, plan) as variables:
        while struck.total() < STRIKES:
            with running_pair(cloud, variables) as pair:
                # The leases of killed scanners have ended.
                end_waits(stores, name, leases=True)
                while struck.total() < STRIKES and pair.lives:
                    if len(unfinished(stores, name)) < MAX_WAITING:
                        push_scannable(registry, name, f"v{pushed}")
                        pushed += 1
                    scan = threading.Thread(target=pair.scan)
                    scan.start()
                    what = choices.choice(("reading", "reading", "network", "scanner", "registry"))
                    session = pair.scanner.process.pid
                    if what == "reading" or choices.random() < 0.5:
                        wait_for(lambda: reading_process(processes_of(session)), choices)  # noqa: B023
                    else:
                        wait_for(lambda: any(each.claim for each in unfinished(stores, name)), choices)
                    struck[pair.strike(what, plan, choices)] += 1
                    scan.join()

    with running_pair(cloud, {name: environment[name] for name in STORES}) as pair:
        deadline = time.monotonic() + TIMEOUT
        while end_waits(stores, name, leases=True):
            assert time.monotonic() < deadline, pair.scanner.log.read_text()
            pair.scan()
    states = assert_scanned(stores, registry, name)
    assert states.total() == pushed
    # There is no data; what does not die three times is scanned.
    assert states["partial"] > 0
    assert_goes_and_comes_back(stores, registry, name)
