"""A registry and a plain model of it: whatever is done in whichever order, both say the same.

With a clock that the test turns; 1,000 steps on a folder and SQLite, 500 on Cloud Storage and Firestore; nightly
(LADING_NIGHTLY=1) 20,000 on each.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    run_state_machine_as_test,
)

from lading import settings as registry_settings
from lading.composition import open_blobs, open_metadata
from lading_storage.stores import Stores
from tests.model.registry_machine import RegistryMachine

NIGHTLY = os.environ.get("LADING_NIGHTLY") == "1"
STEPS = 50
EXAMPLES = 400 if NIGHTLY else 20


def numbered(folder: Path) -> Iterator[dict[str, str]]:
    return ({"LADING_DATA": str(folder / str(number))} for number in itertools.count())


@pytest.mark.parametrize("pair", ["local", "google"])
def test_the_registry_does_as_the_model_does(
    pair: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = numbered(tmp_path)

    def fresh() -> Stores:
        environment = next(folders) if pair == "local" else request.getfixturevalue("emulators").fresh_stores()
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        read = registry_settings.load_settings(environment)
        return Stores(open_blobs(read.blobs), open_metadata(read.metadata))

    monkeypatch.setattr(RegistryMachine, "fresh", staticmethod(fresh), raising=False)
    run_state_machine_as_test(
        RegistryMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=not NIGHTLY,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
