"""The soak itself, for some seconds: it kills, counts and judges."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.faults import soak
from tests.faults.exact_client import ExactClient, RequestOutcome
from tests.faults.load_clients import Worker

MIB = 2**20


def test_some_seconds_of_it(environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "KILL_INTERVAL", 1.0)

    result = soak.soak(environment, tmp_path, 0.06)

    assert result["good"], result
    assert result["kills"] >= 1
    assert result["paths checked"] > 10


@pytest.mark.parametrize(
    ("failed", "lost", "memory", "good"),
    [
        (0, [], [100, 100], True),
        (1, [], [100, 100], True),
        (2, [], [100, 100], False),
        (0, ["/v2/a/manifests/v1"], [100, 100], False),
        (0, [], [100, 126], False),
    ],
)
def test_what_is_not_as_it_should_be_is_told(failed: int, lost: list[str], memory: list[int], good: bool) -> None:
    worker, client = Worker(0, []), soak.RetryingClient()
    worker.ledger.lost += lost
    client.outcomes.update({"answered": 1000, "failed": failed})

    assert soak.figures([worker], [client], [each * MIB for each in memory], 1)["good"] == good


def test_who_is_patient_asks_again_and_takes_a_second_404_for_a_deletion(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [RequestOutcome(0), RequestOutcome(503), RequestOutcome(404)]
    monkeypatch.setattr(soak, "FIRST_PAUSE", 0)
    monkeypatch.setattr(ExactClient, "request", lambda *_: answers.pop(0))
    client = soak.RetryingClient()

    assert client.request("DELETE", "/v2/a/manifests/v1").status == 202
    assert client.outcomes == {"answered after tries": 1}
