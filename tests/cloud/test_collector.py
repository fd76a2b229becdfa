"""The collector, called as Cloud Scheduler calls it."""

import json
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from emulators.cloud import Cloud
from emulators.scheduler import call
from lading import settings
from lading.composition import open_blobs, open_metadata
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.change_context import MachineClock
from lading.registry.registry import Registry
from tests.cloud.containers import repository
from tests.support import images
from tests.support.app_client import make_client


def leave_garbage(name: str, content: bytes) -> None:
    """Leave an object that no record names: a blob of four days ago that two collections found without a manifest."""
    read = settings.load_settings()
    stores = open_blobs(read.blobs), open_metadata(read.metadata)
    uploaded, marked, unlinked = (MachineClock(ago(timedelta(days=days))) for days in (4, 2, 1))
    make_client(Registry(*stores, clock=uploaded)).push_blob(name, content)
    for clock in (marked, unlinked):
        Collector(Registry(*stores, clock=clock), GracePeriods(), clock=clock).run()
    for store in stores:
        store.close()


def ago(age: timedelta) -> Callable[[], datetime]:
    """Return a machine's clock that is behind."""
    return lambda: datetime.now(UTC) - age


def test_it_collects_garbage_for_the_scheduler_alone(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in cloud.environment.items():
        monkeypatch.setenv(variable, value)
    content = images.blob(1_000_003)
    leave_garbage(repository(), content)
    assert len(content) in stored_sizes(cloud)

    assert call(cloud.collect_url, cloud.accounts.registry)[0] == 403
    assert len(content) in stored_sizes(cloud)
    status, body = call(cloud.collect_url, cloud.accounts.scheduler)

    report = json.loads(body)
    assert (status, report["finished"], report["failed"]) == (200, True, 0)
    assert len(content) not in stored_sizes(cloud)
    assert '"freed_bytes"' in cloud.collect.log.read_text(), "and says so in the log"


def stored_sizes(cloud: Cloud) -> set[int]:
    """The sizes of all objects in the bucket of the deployment."""
    bucket = cloud.environment["LADING_BLOBS"].removeprefix("gs://")
    url = f"{cloud.environment['STORAGE_EMULATOR_HOST']}/storage/v1/b/{bucket}/o"
    with urllib.request.urlopen(url, timeout=30) as response:
        return {int(each["size"]) for each in json.load(response).get("items", [])}
