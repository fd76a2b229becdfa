"""Repair by push that is killed, happens twice at once, or runs beside a job."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from lading.registry.content.uploads import Body
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.protocols import Replace, object_exists
from lading_storage.records.core import Blob, Key, Link
from lading_storage.stores import Stores
from tests.support import images
from tests.support.object_damage import DAMAGES, FOUND_BY_PUSH, InterleavingStores, collect, damage, kill, scrub
from tests.support.registry_pushes import pull_blob, push_blob
from tests.support.store_hooks import Killed


def push_in_chunks(registry: Registry, repository: str, content: bytes) -> Link:
    """Push a blob as two objects, which are joined."""
    upload = registry.uploads.start(repository)
    registry.uploads.append(repository, upload.id, Body([content[:40]]))
    registry.uploads.append(repository, upload.id, Body([content[40:]]))
    return registry.uploads.finish(repository, upload.id, digest_of(content), Body(()))


PUSHES: dict[str, Callable[[Registry, bytes], Any]] = {
    "one body": lambda registry, content: push_blob(registry, "b", content),
    "chunks": lambda registry, content: push_in_chunks(registry, "a", content),
}


@pytest.mark.parametrize("push", PUSHES)
@pytest.mark.parametrize("marked", [False, True])
def test_a_kill_during_a_repair_loses_nothing(registry: Registry, stores: Stores, marked: bool, push: str) -> None:
    """Before each call of a push that heals, in turn."""
    content = images.blob()
    link = push_blob(registry, "a", content)
    for point in itertools.count():
        damage(stores.blobs, link.object, content, "flipped" if marked else "cut")
        assert len(scrub(registry)) == 1
        if not marked:
            unmark(stores, link.id)
        steps = InterleavingStores(stores, point, kill)
        try:
            PUSHES[push](steps.registry, content)
        except Killed:
            PUSHES[push](registry, content)
        assert pull_blob(registry, "a", link.id) == content, point
        assert scrub(registry) == [], point
        if steps.count <= point:
            break
    assert point > 6
    collect(registry)
    assert stores.blobs.names("", limit=9) == []


def unmark(stores: Stores, digest: str) -> None:
    """Take the mark away, without a look at the object: as where it was lost after the last scrub."""
    blob = stores.metadata.read([Key(Blob, digest)])[Key(Blob, digest)]
    assert blob is not None
    stores.metadata.commit([Replace(replace(blob, damaged=""))])


def test_a_push_that_was_killed_goes_on_in_its_session(registry: Registry, stores: Stores) -> None:
    """The client sends its last request again, to another process."""
    content = images.blob()
    link = push_blob(registry, "a", content)
    for point in itertools.count():
        damage(stores.blobs, link.object, content, "missing")
        scrub(registry)
        upload = registry.uploads.start("a")
        registry.uploads.append("a", upload.id, Body([content]))
        steps = InterleavingStores(stores, point, kill)
        try:
            steps.registry.uploads.finish("a", upload.id, link.id, Body(()))
        except Killed:
            registry.uploads.finish("a", upload.id, link.id, Body(()))
        assert pull_blob(registry, "a", link.id) == content, point
        if steps.count <= point:
            break
    assert point > 3


@pytest.mark.parametrize("how", ["missing", "flipped"])
def test_two_who_put_back_the_same_at_once_are_both_told_that_it_is_there(
    registry: Registry, stores: Stores, how: str
) -> None:
    """One as a whole before each call of the other."""
    content = images.blob()
    link = push_blob(registry, "a", content)
    for point in itertools.count():
        damage(stores.blobs, link.object, content, how)
        scrub(registry)
        steps = InterleavingStores(stores, point, lambda: push_blob(registry, "b", content))
        push_in_chunks(steps.registry, "c", content)
        if steps.count <= point:
            break
        assert [pull_blob(registry, name, link.id) for name in "abc"] == [content] * 3, point
        assert scrub(registry) == [], point
    assert point > 6
    assert stores.blobs.names("", limit=9) == [link.object]


def test_many_who_put_back_the_same_at_once_are_all_told_that_it_is_there(registry: Registry, stores: Stores) -> None:
    content = images.blob(50_000)
    link = push_blob(registry, "r", content)
    for how in FOUND_BY_PUSH:
        damage(stores.blobs, link.object, content, how)
        with ThreadPoolExecutor(6) as pool:
            done = list(pool.map(lambda number: push_blob(registry, f"r{number}", content), range(6)))
        assert all(pull_blob(registry, each.repository, link.id) == content for each in done)
    assert stores.blobs.names("", limit=9) == [link.object]


JOBS: dict[str, Callable[[Registry], Any]] = {
    "scrub": scrub,
    "collect": lambda registry: collect(registry, concurrent=True),
}


@pytest.mark.parametrize("beside", JOBS)
def test_what_was_put_back_stays_whatever_job_runs_beside(registry: Registry, stores: Stores, beside: str) -> None:
    """A job as a whole before each call of a push that heals."""
    for point in itertools.count():
        content = images.blob()
        lost = push_blob(registry, "a", content)
        damage(stores.blobs, lost.object, content, "missing")
        scrub(registry)
        if beside == "collect":
            # Nothing links it any more: the collection in between drops the record that is to be healed.
            registry.blobs.delete("a", lost.id)
        steps = InterleavingStores(stores, point, partial(JOBS[beside], registry))
        link = push_in_chunks(steps.registry, "b", content)
        if steps.count <= point:
            break
        assert pull_blob(registry, "b", link.id) == content, point
        assert scrub(registry) == [], point
    assert point > 6


def test_presence_is_the_recorded_size(registry: Registry, stores: Stores) -> None:
    content = images.blob()
    link = push_blob(registry, "a", content)

    for how in DAMAGES:
        assert object_exists(stores.blobs, link.object, link.size)
        damage(stores.blobs, link.object, content, how)
        assert object_exists(stores.blobs, link.object, link.size) == (how not in FOUND_BY_PUSH)
        stores.blobs.delete(link.object)
        stores.blobs.append(link.object, [content])
