"""Fixtures: a server with metrics, one that has been used, and the fake of IAM."""

from collections.abc import Iterator

import pytest

from tests.metrics.metered_server import MeteredServer, serving_metrics
from tests.support import images
from tests.support.auth_fixtures import iam, world

__all__ = ["iam", "metered", "used", "world"]


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeteredServer]:
    """A server that collects garbage each second."""
    with serving_metrics(tmp_path_factory.mktemp("metered"), {"LADING_COLLECT_EVERY": "1s"}) as server:
        yield server


@pytest.fixture(scope="module")
def used(metered: MeteredServer) -> MeteredServer:
    """The same, after a push, a pull, and a run of each job."""
    layer = images.blob(300_000)
    metered.push("team/app", layer)
    metered.pull("team/app", layer)
    for job in ("collect", "publish", "deliver"):
        metered.wait_for(1, "lading_job_runs_total", name=job, outcome="finished")
    metered.wait_for(1, "lading_events_published_total")
    return metered
