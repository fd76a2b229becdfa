"""Fixtures: the fakes of Google's APIs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.fake_cloud_run import Assumptions
from tests.deploy.google_world import GoogleWorld, google_world


@pytest.fixture(
    params=[(Assumptions(), 0), (Assumptions((400, "FAILED_PRECONDITION"), revision=True), 2)], ids=["usual", "other"]
)
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleWorld]:
    """Targets of all kinds, with either answer to what is a guess."""
    monkeypatch.setattr("deployer.cloud_deploy.deploy.__defaults__", (lambda seconds: None,))
    assumptions, polls = request.param
    with google_world(tmp_path, assumptions, polls) as served:
        yield served
