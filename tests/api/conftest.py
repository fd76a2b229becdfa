"""Fixtures: a client of an app in this process, for each test or for all tests of a module."""

from collections.abc import Iterator

import pytest

from emulators import Emulators
from lading import settings
from lading.composition import open_blobs, open_metadata
from lading.registry.registry import Registry
from lading_storage.stores import Stores
from tests.support.app_client import Client, make_client


@pytest.fixture
def client(registry: Registry) -> Client:
    """A client of an app over stores that only this test uses."""
    return make_client(registry)


@pytest.fixture(scope="module", params=["local", "google"])
def module_stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """A pair of stores that all tests of a module share."""
    environment = {"LADING_DATA": str(tmp_path_factory.mktemp("data"))}
    if request.param == "google":
        emulators: Emulators = request.getfixturevalue("emulators")
        environment = dict(emulators.fresh_stores())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        read = settings.load_settings(environment)
        stores = Stores(open_blobs(read.blobs), open_metadata(read.metadata))
        yield stores
        stores.close()


@pytest.fixture(scope="module")
def module_client(module_stores: Stores) -> Client:
    """A client of an app over the stores that all tests of a module share."""
    return make_client(Registry(module_stores.blobs, module_stores.metadata))
