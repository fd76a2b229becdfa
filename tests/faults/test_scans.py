"""Scans by a server that is killed, or whose process that reads layers is; tests/cloud has those of a function.

Each image that was pushed ends scanned, or failed with a reason, and has one report; what is deleted goes whole.
"""

import contextlib
import random
import time
from collections import Counter
from pathlib import Path

from lading.registry.registry import Registry
from lading_storage.stores import Stores
from tests.faults import NIGHTLY
from tests.support.folder_stores import folder_stores
from tests.support.scan_kills import kill_reading, reading_process, wait_for
from tests.support.scanned_images import (
    assert_goes_and_comes_back,
    assert_scanned,
    end_waits,
    push_scannable,
    unfinished,
)
from tests.support.server_process import Server, serving

KILLS = 100 if NIGHTLY else 9
A = "team/app"
MAX_WAITING = 8
"""Images that wait for a scan, which leaves most of the time to requests: no more are pushed then."""

TIMEOUT = 300.0
"""Seconds until all images must have been scanned."""


def kill(server: Server, stores: Stores, choices: random.Random) -> str:
    """Kill something while the image is scanned; return what."""
    what, parents = choices.choice(("server", "reading")), [server.process.pid]
    if what == "reading" or choices.random() < 0.5:
        wait_for(lambda: reading_process(parents), choices)
    else:
        wait_for(lambda: any(each.claim for each in unfinished(stores, A)), choices)
    if what == "reading" and kill_reading(parents):
        return what
    server.process.kill()
    server.process.wait()
    return "server"


def test_kills_leave_each_image_scanned_or_failed_with_one_report(tmp_path: Path) -> None:
    choices, killed, pushed, starts = random.Random(21), Counter[str](), 0, 0
    environment = {
        "LADING_DATA": str(tmp_path / "data"),
        "LADING_SCAN": "on",
        "LADING_VULNERABILITY_UPDATES": "off",
    }
    with contextlib.closing(folder_stores(tmp_path / "data")) as stores:
        registry = Registry(stores.blobs, stores.metadata, scans_images=True)
        while killed.total() < KILLS:
            starts += 1
            with serving(environment, tmp_path / f"log-{starts}") as server:
                while killed.total() < KILLS and server.process.poll() is None:
                    if len(end_waits(stores, A)) < MAX_WAITING:
                        push_scannable(registry, A, f"v{pushed}")
                        pushed += 1
                    killed[kill(server, stores, choices)] += 1

        with serving(environment, tmp_path / "last") as server:
            deadline = time.monotonic() + TIMEOUT
            while end_waits(stores, A):
                assert time.monotonic() < deadline, server.log.read_text()
                time.sleep(0.1)
        states = assert_scanned(stores, registry, A)
        assert states.total() == pushed
        # There is no data; what is not killed three times is scanned.
        assert states["partial"] > 0
        assert min(killed["server"], killed["reading"]) > 0
        assert_goes_and_comes_back(stores, registry, A)
