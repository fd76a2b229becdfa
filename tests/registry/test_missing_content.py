"""Rules by which a manifest may name what is not there: layers with URLs, and manifests of a sparse index."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lading import settings
from lading.composition import open_metadata, open_registry
from lading.jobs.backup import RestoreOptions, back_up, restore
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.change_context import ChangeContext
from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from lading.registry.rules.effective import LocalRules
from lading.registry.rules.missing_content import MissingContent
from lading.settings import SettingsError
from lading_storage.digests import digest_of
from lading_storage.records.core import Manifest
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.invariants import Snapshot, assert_intact, assert_no_garbage
from tests.support.object_damage import damage, scrub
from tests.support.registry_pushes import push_blob, push_manifest

RULES = MissingContent.of(["win/*:urls", "mirror/*:sparse", "!mirror/whole:sparse"])
LAYER = b"a layer that is somewhere else"
HERE = b"a layer that is here"
CHILD = images.manifest([HERE])
OTHER = images.manifest([HERE], annotations={"other": ""})
URLS = ["https://layers.example/1"]


def altered(manifest: bytes, **fields: Any) -> bytes:
    return json.dumps(json.loads(manifest) | fields).encode()


def image(*layers: dict[str, Any]) -> bytes:
    return altered(images.manifest([]), layers=layers)


EXTERNAL = image(images.descriptor(LAYER) | {"urls": URLS}, images.descriptor(HERE))
SPARSE = images.index([CHILD, OTHER])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def registry(stores: Stores, clock: FakeClock) -> Registry:
    return Registry(stores.blobs, stores.metadata, clock=clock, local_rules=LocalRules(missing=RULES))


def put(registry: Registry, repository: str, content: bytes, *tags: str) -> Manifest:
    for blob in (images.EMPTY_CONFIG, HERE):
        push_blob(registry, repository, blob)
    return push_manifest(registry, repository, content, *tags)


def refusal(registry: Registry, repository: str, content: bytes) -> str:
    with pytest.raises(RegistryError) as refused:
        put(registry, repository, content)
    assert refused.value.descriptor.code == "MANIFEST_BLOB_UNKNOWN"
    return str(refused.value)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(("repository", "other"), [("win/a", "a"), ("mirror/a", "win/a")])
def test_a_rule_for_the_repository_decides_and_refusals_name_it(
    registry: Registry, stores: Stores, repository: str, other: str, large: bool
) -> None:
    content = {"win/a": EXTERNAL, "mirror/a": SPARSE}[repository]
    if large:
        content = altered(content, annotations={"x": "y" * 600_000})

    put(registry, repository, content, "v1")

    assert registry.manifests.content(registry.manifests.find(repository, "v1", intact=True)) == content
    kind = "urls" if repository == "win/a" else "sparse"
    assert f"only the rule {other}:{kind} (--allow-missing)" in refusal(registry, other, content)
    assert_intact(Snapshot(stores, [repository]))


def test_an_exception_holds(registry: Registry) -> None:
    assert "mirror/whole:sparse" in refusal(registry, "mirror/whole", SPARSE)


@pytest.mark.parametrize(
    ("repository", "content"),
    [
        ("win/a", image(images.descriptor(LAYER))),
        ("win/a", image(images.descriptor(LAYER) | {"urls": []})),
        ("win/a", image(images.descriptor(LAYER) | {"urls": URLS}, images.descriptor(LAYER))),
        ("win/a", image(images.descriptor(LAYER) | {"urls": URLS}, images.descriptor(b"absent"))),
        ("mirror/a", images.manifest([LAYER])),
        ("mirror/a", altered(images.index([]), manifests=[images.descriptor(LAYER) | {"urls": URLS}])),
        ("win/a", altered(images.manifest([], config=LAYER), layers=[images.descriptor(LAYER) | {"urls": URLS}])),
    ],
)
def test_no_rule_allows_anything_else(registry: Registry, repository: str, content: bytes) -> None:
    assert "rule" not in refusal(registry, repository, content)


def test_what_is_damaged_is_pushed_again_whatever_the_rule(registry: Registry, stores: Stores) -> None:
    put(registry, "win/a", EXTERNAL)
    link = push_blob(registry, "win/a", LAYER)
    damage(stores.blobs, link.object, LAYER, "missing")
    scrub(registry)

    assert "rule" not in refusal(registry, "win/a", EXTERNAL)
    push_blob(registry, "win/a", LAYER)
    assert put(registry, "win/a", EXTERNAL, "v1")


def test_what_comes_later_is_kept(registry: Registry, clock: FakeClock, stores: Stores) -> None:
    put(registry, "win/a", EXTERNAL, "v1")
    put(registry, "mirror/a", SPARSE, "v1")

    push_blob(registry, "win/a", LAYER)
    child = push_manifest(registry, "mirror/a", CHILD)
    collect(registry, clock)

    assert registry.blobs.get("win/a", digest_of(LAYER))
    with pytest.raises(RegistryError, match="a manifest references this blob"):
        registry.blobs.delete("win/a", digest_of(LAYER))
    with pytest.raises(RegistryError, match="an index references this manifest"):
        registry.deletion.manifest("mirror/a", child.digest)
    assert_no_garbage(Snapshot(stores, ["win/a", "mirror/a"]))


def test_it_is_deleted_restored_and_rolled_back_to(registry: Registry, clock: FakeClock, stores: Stores) -> None:
    for repository, content in (("win/a", EXTERNAL), ("mirror/a", SPARSE)):
        manifest = put(registry, repository, content, "v1")
        registry.deletion.manifest(repository, manifest.digest)
        assert_intact(Snapshot(stores, [repository]))
        registry.undelete.manifest(repository, manifest.digest)
        put(registry, repository, images.manifest([]), "v1")
        registry.rollback.by_steps(repository, "v1", 1)
        assert registry.manifests.find(repository, "v1", intact=True).digest == manifest.digest
        registry.deletion.repository(repository)
    collect(registry, clock)
    assert_no_garbage(Snapshot(stores, ["win/a", "mirror/a"]))


def test_jobs_find_nothing_wrong_with_it(registry: Registry, stores: Stores, tmp_path: Path) -> None:
    manifests = [put(registry, "win/a", EXTERNAL, "v1"), put(registry, "mirror/a", SPARSE, "v1")]
    push_manifest(registry, "mirror/a", CHILD)

    assert not scrub(registry)
    back_up(stores, tmp_path / "backup")
    for manifest in manifests:
        registry.deletion.repository(manifest.repository)
    restore(tmp_path / "backup", stores, RestoreOptions(ChangeContext("restore", "alice")))

    for manifest in manifests:
        assert registry.manifests.find(manifest.repository, "v1", intact=True).digest == manifest.digest
    assert registry.manifests.find("mirror/a", digest_of(CHILD))
    assert_intact(Snapshot(stores, ["win/a", "mirror/a"]))


def collect(registry: Registry, clock: FakeClock) -> None:
    """Collect until nothing is left over, as days of waiting do."""
    for _ in range(3):
        for hours in (24 * 8, 2):
            clock.advance(hours=hours)
            report = Collector(registry, GracePeriods(), clock=clock).run()
            assert report is not None
            assert report.finished


@pytest.mark.parametrize("rule", ["win/*", "win/*:", ":urls", "win/*:url", "win/*:*", "win:a:urls", "!win/*:tags"])
def test_what_is_no_rule_is_refused_at_the_start(rule: str, tmp_path: Path) -> None:
    read = settings.load_settings({"LADING_DATA": str(tmp_path), "LADING_ALLOW_MISSING": f"mirror/*:sparse,{rule}"})

    with pytest.raises(SettingsError, match=r"--allow-missing: .* is not REPOSITORY:urls or REPOSITORY:sparse"):
        open_registry(read, open_metadata(read.metadata))


def test_the_setting_is_heeded(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    read = settings.load_settings({**environment, "LADING_ALLOW_MISSING": "win/*:urls, mirror/*:sparse"})
    registry = open_registry(read, open_metadata(read.metadata))

    assert put(registry, "mirror/a", SPARSE).may_lack == (digest_of(CHILD), digest_of(OTHER))
    assert put(registry, "win/a", EXTERNAL).may_lack == (digest_of(LAYER),)
    registry.close()
