"""Fixtures: the fake of IAM, worlds for it, and apps with access control."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from emulators.iam import IamEmulator
from emulators.processes import ProcessGroup
from lading.composition import open_blobs, open_metadata
from lading_storage.stores import Stores
from tests.support.fake_iam_world import FakeIamWorld, RestrictedApp, restricted_app


@pytest.fixture(scope="session")
def iam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IamEmulator]:
    """The fake of IAM, running for all tests."""
    with ProcessGroup() as family:
        yield IamEmulator.start(family, tmp_path_factory.mktemp("iam"))


@pytest.fixture
def world(iam: IamEmulator, monkeypatch: pytest.MonkeyPatch) -> FakeIamWorld:
    """A world without anybody, of which this process asks."""
    monkeypatch.setenv("LADING_IAM_EMULATOR_HOST", iam.url)
    new = FakeIamWorld(iam)
    new.save()
    new.requests()
    return new


@pytest.fixture
def local_stores(tmp_path: Path) -> Iterator[Stores]:
    """Stores in a folder, for tests that are not about stores."""
    folder = tmp_path / "data"
    opened = Stores(open_blobs((folder / "blobs").as_uri()), open_metadata(f"sqlite://{folder}/metadata.sqlite"))
    yield opened
    opened.close()


AppFactory = Callable[..., RestrictedApp]


@pytest.fixture
def make_app(local_stores: Stores, tmp_path: Path) -> AppFactory:
    """Makes an app over `local_stores`, guarded as its arguments say: LADING_… without the LADING_, in lower case."""

    def make(**options: str) -> RestrictedApp:
        environment: Mapping[str, str] = {f"LADING_{name.upper()}": value for name, value in options.items()}
        return restricted_app(local_stores, environment, tmp_path / "data")

    return make


class Clock:
    """A clock that only goes when it is told to, from the real time on."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now
