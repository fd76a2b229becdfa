"""Of two registries on one blob store neither deletes objects, until the operator says whose it is."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lading.jobs.doctor.checks import CheckState, run_checks
from lading.jobs.doctor.stores import StoreChecks
from lading.registry.identity import identity_of
from lading.registry.owner_mark import ForeignBlobs, claim, mark_new_store, marks, require_own
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.protocols import MetadataStore
from lading_storage.stores import Stores
from tests.support import images
from tests.support.registry_pushes import push_image
from tests.support.server_process import Server, run_lading, serving


@pytest.fixture
def other(stores: Stores, tmp_path: Path) -> Iterator[Registry]:
    """Another registry, on the same blob store."""
    with contextlib.closing(SqliteMetadata(tmp_path / "other.sqlite")) as metadata:
        yield Registry(stores.blobs, metadata)


def may_delete(stores: Stores, metadata: MetadataStore, all_known: bool = True) -> bool:
    try:
        require_own(stores.blobs, metadata, all_known=all_known)
    except ForeignBlobs as error:
        return "lading gc --claim" not in str(error)
    return True


def owner_check(stores: Stores, metadata: MetadataStore) -> CheckState:
    checks = StoreChecks(lambda: stores.blobs, lambda: metadata, in_cloud=False)
    return next(each.state for each in run_checks(checks.checks()) if each.name == "owner")


def test_the_registry_that_creates_a_store_owns_it(stores: Stores, registry: Registry, other: Registry) -> None:
    mark_new_store(stores.blobs, stores.metadata)
    push_image(registry, "a", "v1")
    mark_new_store(stores.blobs, other.metadata)

    assert marks(stores.blobs) == [identity_of(stores.metadata)]
    assert may_delete(stores, stores.metadata)
    assert not may_delete(stores, other.metadata)
    assert not may_delete(stores, other.metadata, all_known=False)
    assert marks(stores.blobs) == [identity_of(stores.metadata)], "nothing of the other one is here"
    assert [owner_check(stores, each) for each in (stores.metadata, other.metadata)] == [
        CheckState.OK,
        CheckState.FAILED,
    ]


def test_a_store_of_an_older_release_is_marked_by_the_first_job(
    stores: Stores, registry: Registry, other: Registry
) -> None:
    push_image(registry, "a", "v1", layers=3)
    registry.uploads.start("a")
    assert owner_check(stores, stores.metadata) is CheckState.OK
    assert marks(stores.blobs) == [], "the doctor writes none"

    assert not may_delete(stores, other.metadata, all_known=False)
    assert may_delete(stores, stores.metadata)
    assert marks(stores.blobs) == [identity_of(stores.metadata)]


def test_of_two_older_registries_on_one_store_none_may_repair(
    stores: Stores, registry: Registry, other: Registry
) -> None:
    push_image(registry, "a", "v1")
    push_image(other, "a", "v1")

    for metadata in (stores.metadata, other.metadata):
        assert not may_delete(stores, metadata)
        # Collection deletes objects of the metadata's own sessions alone.
        assert may_delete(stores, metadata, all_known=False)
    assert marks(stores.blobs) == []


def test_a_registry_whose_blobs_are_in_a_marked_store_stops_the_jobs_of_the_other(
    stores: Stores, registry: Registry, other: Registry
) -> None:
    mark_new_store(stores.blobs, stores.metadata)
    push_image(registry, "a", "v1")
    push_image(other, "a", "v1")
    assert may_delete(stores, stores.metadata)

    assert not may_delete(stores, other.metadata)
    assert not may_delete(stores, stores.metadata)
    assert set(marks(stores.blobs)) == {identity_of(stores.metadata), identity_of(other.metadata)}

    claim(stores.blobs, stores.metadata)
    claim(stores.blobs, stores.metadata)
    assert may_delete(stores, stores.metadata)
    assert marks(stores.blobs) == [identity_of(stores.metadata)]


class Raced:
    """A blob store that another process of the registry marks after the first listing."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._listings = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stores.blobs, name)

    def names(self, prefix: str, *, after: str = "", limit: int) -> list[str]:
        found = self._stores.blobs.names(prefix, after=after, limit=limit)
        if self._listings == 0:
            mark_new_store(self._stores.blobs, self._stores.metadata)
        self._listings += 1
        return found


def test_two_processes_of_a_registry_may_mark_at_a_time(stores: Stores) -> None:
    mark_new_store(Raced(stores), stores.metadata)
    assert marks(stores.blobs) == [identity_of(stores.metadata)]


def test_jobs_of_a_registry_with_wrong_metadata_delete_nothing(
    stores: Stores, registry: Registry, environment: Mapping[str, str], tmp_path: Path
) -> None:
    """As after `--metadata` of a new file: a scrub would give every object to collection."""
    push_image(registry, "a", "v1", layers=2)
    assert run_lading(["gc"], tmp_path, environment).returncode == 0
    before = stores.blobs.names("", limit=100)
    wrong = {**environment, "LADING_METADATA": f"sqlite://{tmp_path}/other.sqlite"}
    with contextlib.closing(SqliteMetadata(tmp_path / "other.sqlite")) as metadata:
        other = identity_of(metadata)

    for command in (["gc"], ["gc", "--quiesced"], ["scrub", "--repair"]):
        done = run_lading(command, tmp_path, wrong)
        assert done.returncode == 1
        own = identity_of(stores.metadata)
        assert f"the blob store belongs to another registry ({own}; this one is {other})" in done.stderr
        assert "Traceback" not in done.stderr
    assert stores.blobs.names("", limit=100) == before

    done = run_lading(["gc", "--claim", "--json"], tmp_path, wrong)
    assert (done.returncode, json.loads(done.stdout)["finished"]) == (0, True)
    assert run_lading(["gc"], tmp_path, environment).returncode == 1


def test_a_registry_that_is_served_is_marked_and_scrubs_and_backs_up_as_before(tmp_path: Path) -> None:
    with serving({"LADING_DATA": str(tmp_path / "lading-data")}, tmp_path / "log") as server:
        assert server.request("GET", "/v2/")[0].status == 200
    data = tmp_path / "lading-data"
    assert len(list((data / "blobs" / "re" / "registry").iterdir())) == 1
    for command in (["scrub", "--repair"], ["gc", "--quiesced"], ["scrub"], ["backup", "copy"]):
        done = run_lading(command, tmp_path, {})
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "copy" / "blobs" / "re").exists(), "a copy belongs to another registry once it is promoted"
    assert run_lading(["restore", "copy", "--data", "restored"], tmp_path, {}).returncode == 0
    assert run_lading(["promote", "copy"], tmp_path, {}).returncode == 0
    for folder in ("restored", "copy"):
        done = run_lading(["scrub", "--repair", "--data", folder], tmp_path, {})
        assert done.returncode == 0, done.stderr
        assert len(list((tmp_path / folder / "blobs" / "re" / "registry").iterdir())) == 1


def test_a_server_does_not_start_on_the_blobs_of_another_registry(tmp_path: Path) -> None:
    """Until its own first collection, a scrub of the other one gave what was pushed here to collection."""
    with serving({"LADING_DATA": str(tmp_path / "one")}, tmp_path / "log") as server:
        assert pushed(server) == 201
    shared = {"LADING_ACCESS": "everybody", "LADING_BLOBS": (tmp_path / "one" / "blobs").as_uri()}
    before = sorted(tmp_path.joinpath("one").rglob("*"))

    done = run_lading(["serve", "--data", "two"], tmp_path, shared)

    assert done.returncode == 1
    assert "the blob store belongs to another registry" in done.stderr
    assert "lading gc --claim" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.joinpath("one").rglob("*")) == before


def test_a_restored_registry_is_served_on_the_blobs_that_it_had(tmp_path: Path) -> None:
    """Its metadata was lost, so it has another identity; its server prevents that the store's old owner deletes."""
    data = tmp_path / "data"
    with serving({"LADING_DATA": str(data)}, tmp_path / "log") as server:
        assert pushed(server) == 201
    assert run_lading(["backup", "copy", "--data", "data"], tmp_path).returncode == 0
    for path in data.glob("metadata*"):
        path.unlink()
    assert run_lading(["restore", "copy", "--data", "data"], tmp_path).returncode == 0

    with serving({"LADING_DATA": str(data)}, tmp_path / "log") as server:
        assert pushed(server) == 201
    assert len(list((data / "blobs" / "re" / "registry").iterdir())) == 2
    assert run_lading(["gc", "--claim", "--data", "data"], tmp_path).returncode == 0
    assert len(list((data / "blobs" / "re" / "registry").iterdir())) == 1


def pushed(server: Server) -> int:
    """Push an image without layers; return the status."""
    config = images.EMPTY_CONFIG
    server.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(config)}", config)
    return server.request("PUT", "/v2/a/manifests/v1", images.manifest([]))[0].status
