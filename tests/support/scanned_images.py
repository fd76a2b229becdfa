"""Images that scanners worked on while everything died, and what must hold of them in the end."""

import contextlib
import io
import json
import random
import tarfile
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Final

from lading.jobs.gc.sweep import GracePeriods
from lading.registry.change_context import now
from lading.registry.pagination import scan_all
from lading.registry.registry import Registry
from lading.registry.scans.documents import CYCLONEDX, IN_TOTO
from lading_storage.errors import Conflict
from lading_storage.protocols import Replace
from lading_storage.records.core import Manifest
from lading_storage.records.scans import Facts, LayerScan
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.invariants import Snapshot, assert_intact, assert_no_garbage
from tests.support.operations import collect
from tests.support.registry_pushes import push_blob, push_manifest

SIZE: Final = 3_000_000
"""Bytes of a layer that are no package, so that reading it takes a while."""

ZERO: Final = timedelta(0)


def layer(*names: str, size: int = 0) -> bytes:
    """A layer with packages of npm, and a file of random bytes."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        files = {f"app/node_modules/{name}/package.json": _package(name) for name in names}
        for path, body in {**files, "app/data": random.randbytes(size)}.items():
            member = tarfile.TarInfo(path)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return content.getvalue()


def _package(name: str) -> bytes:
    return json.dumps({"name": name, "version": "1.0.0"}).encode()


BASE: Final = layer("base", size=1)


def push_scannable(registry: Registry, repository: str, tag: str) -> Manifest:
    """Push an image with a layer that others have as well, and one of its own."""
    own = layer(tag, size=SIZE)
    for content in (images.EMPTY_CONFIG, BASE, own):
        push_blob(registry, repository, content)
    return push_manifest(registry, repository, images.manifest([BASE, own]), tag)


def unfinished(stores: Stores, repository: str) -> list[Facts]:
    """The facts of images whose scan has not ended."""
    return [each for each in scan_all(stores.metadata, Facts, repository) if each.claim or each.state == "waiting"]


def end_waits(stores: Stores, repository: str, *, leases: bool = False) -> list[Facts]:
    """Let images be due that wait for another try, and with `leases` those of killed scanners; return the unfinished.

    They would wait for a minute or two, and fifteen.
    """
    found = unfinished(stores, repository)
    for each in found:
        if each.next > now() and (leases or not each.claim):
            whole = stores.metadata.read([each.key])[each.key]
            if whole is not None and whole.version == each.version:
                with contextlib.suppress(Conflict):
                    stores.metadata.commit([Replace(replace(whole, next=now()))])
    return found


def assert_scanned(stores: Stores, registry: Registry, repository: str) -> Counter[str]:
    """See that each image is scanned, or failed with a reason, and has one report; return how many ended how."""
    manifests = [*scan_all(stores.metadata, Manifest, repository)]
    facts = {each.id: each for each in scan_all(stores.metadata, Facts, repository)}
    scanned = [each for each in manifests if not each.subject]
    states = Counter[str]()
    for image in scanned:
        known = facts[image.digest]
        referrers = {each.digest: each.artifact_type for each in manifests if each.subject == image.digest}
        states[known.state] += 1
        if known.state == "failed" and not known.report:
            assert known.reason, image.digest
            assert referrers == {}, image.digest
            continue
        assert known.state in ("partial", "done", "failed"), known
        assert referrers == {known.sbom: CYCLONEDX, known.report: IN_TOTO}, image.digest
        components = json.loads(registry.image_scans.sbom(repository, image.digest))["components"]
        assert len(components) == 2, "the packages of both layers"
    assert_intact(Snapshot(stores, [repository]))
    return states


def assert_goes_and_comes_back(stores: Stores, registry: Registry, repository: str) -> None:
    """See that what belongs to images is deleted and restored with them, and that nothing is left without them."""
    before = {each.digest for each in scan_all(stores.metadata, Manifest, repository)}
    for image in [each for each in scan_all(stores.metadata, Manifest, repository) if not each.subject]:
        registry.deletion.manifest(repository, image.digest)
        gone = before - {each.digest for each in scan_all(stores.metadata, Manifest, repository)}
        assert {*registry.undelete.manifest(repository, image.digest)} == gone
    assert {each.digest for each in scan_all(stores.metadata, Manifest, repository)} == before

    registry.deletion.repository(repository)
    clock = FakeClock()
    clock.time = now()
    for _ in range(5):
        clock.advance(hours=2)
        collect(registry, GracePeriods(ZERO, ZERO, ZERO, ZERO), clock)
    assert [*scan_all(stores.metadata, Facts, repository)] == []
    snapshot = Snapshot(stores, [repository])
    assert_no_garbage(snapshot)
    assert not [each for each in scan_all(stores.metadata, LayerScan) if each.id not in snapshot.blobs]
