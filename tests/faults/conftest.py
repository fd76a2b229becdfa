"""The two pairs of stores, failing by plan; see tests.conftest for those that do not."""

from collections.abc import Iterator

import pytest

from tests.faults.failing_stores import FailingStores, failing_google, failing_local


@pytest.fixture(scope="module", params=["local", "google"])
def failing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FailingStores]:
    if request.param == "local":
        yield failing_local(tmp_path_factory.mktemp("failing"))
    else:
        with failing_google(request.getfixturevalue("emulators")) as failing_stores:
            yield failing_stores
