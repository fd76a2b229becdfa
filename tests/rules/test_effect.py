"""What the registry's rules do to changes of any process, on both pairs of stores."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from lading.jobs.backup import back_up, restore
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from lading.registry.rules.changes import REGISTRY, RulesDocument, RulesError, Values, apply_configured, change_rules
from lading.registry.rules.rule_types import DEFAULT_GRACE, DEFAULT_UNDELETE, RULE_TYPES
from lading.settings import SETTINGS
from lading_storage.errors import Unavailable
from lading_storage.protocols import Create
from lading_storage.records.rules import REGISTRY_RULES, NamespaceRules, RegistryRules
from lading_storage.stores import Stores
from tests.support.app_client import make_client
from tests.support.fake_clock import FakeClock
from tests.support.folder_stores import folder_stores
from tests.support.registry_pushes import push_image
from tests.support.store_hooks import RecordedMetadata

DAY = 86_400


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def set_rules(stores: Stores, clock: FakeClock) -> Callable[..., object]:
    """Sets the registry's rules, or with a first argument a namespace's."""

    def set_rules(scope: str = REGISTRY, **values: object) -> object:
        own: Values = {name.replace("_", "-"): value for name, value in values.items()}  # type: ignore[misc]
        return change_rules(stores.metadata, RulesDocument({scope: own}), "alice", clock)

    return set_rules


def is_refused(change: Callable[[], object]) -> bool:
    """Make a change; return whether an immutable tag refused it."""
    try:
        change()
    except RegistryError as error:
        return error.descriptor.code == "DENIED"
    return False


def changes_of(registry: Registry, repository: str, digest: str, other: str) -> dict[str, Callable[[], object]]:
    return {
        "delete a tag": lambda: registry.tags.delete(repository, "v1"),
        "delete a manifest": lambda: registry.deletion.manifest(repository, digest),
        "delete a repository": lambda: registry.deletion.repository(repository),
        "roll back": lambda: registry.rollback.to_digest(repository, "v1", other),
        "push": lambda: push_image(registry, repository, "v1"),
    }


CHANGES = ("delete a tag", "delete a manifest", "delete a repository", "roll back", "push")


@pytest.mark.parametrize("change", CHANGES)
def test_another_process_honours_the_rules_that_are_recorded(
    registry: Registry, set_rules: Callable[..., object], change: str
) -> None:
    other = push_image(registry, "team/app", "other").digest
    digest = push_image(registry, "team/app", "v1").digest
    set_rules(immutable=("*:v*",))

    assert is_refused(changes_of(registry, "team/app", digest, other)[change])

    assert registry.manifests.find("team/app", "v1").digest == digest
    set_rules(immutable=("elsewhere:v*",))
    assert not is_refused(changes_of(registry, "team/app", digest, other)[change])


def test_a_namespace_adds_to_the_rules_of_the_registry(registry: Registry, set_rules: Callable[..., object]) -> None:
    set_rules(immutable=("*:v*", "!team/*:v*-rc*"))
    set_rules("team", immutable=("*:stable",))
    for tag in ("v1", "v1-rc1", "stable", "latest"):
        push_image(registry, "team/app", tag)
        push_image(registry, "other/app", tag)

    def refused(repository: str) -> list[str]:
        tags = ("v1", "v1-rc1", "stable", "latest")
        return [tag for tag in tags if is_refused(lambda tag=tag: registry.tags.delete(repository, tag))]  # type: ignore[misc]

    assert refused("team/app") == ["v1", "stable"]
    assert refused("other/app") == ["v1", "v1-rc1"]


@pytest.mark.parametrize("scope", [REGISTRY, "team"])
def test_rules_of_a_newer_release_refuse_every_change(registry: Registry, clock: FakeClock, scope: str) -> None:
    other = push_image(registry, "team/app", "other").digest
    digest = push_image(registry, "team/app", "v1").digest
    own = {"given": ("scan-gate",), "changed": clock()}
    record = NamespaceRules(id=scope, **own) if scope else RegistryRules(id=REGISTRY_RULES.id, **own)  # type: ignore[arg-type]
    registry.metadata.commit([Create(record)])

    for change in changes_of(registry, "team/app", digest, other).values():
        with pytest.raises(Unavailable, match="newer release"):
            change()
    with pytest.raises(Unavailable, match="newer release"):
        change_rules(registry.metadata, RulesDocument({scope: {}}), "alice", clock)
    assert registry.manifests.find("team/app", "v1").digest == digest
    response = make_client(registry).request("DELETE", "/v2/team/app/manifests/v1")
    assert (response.status, response.code) == (503, "UNAVAILABLE")
    assert "run the newer release" in response.body.decode()


def test_a_change_reads_the_rules_with_the_tag(stores: Stores, set_rules: Callable[..., object]) -> None:
    push_image(Registry(stores.blobs, stores.metadata), "team/app", "v1", "v2")
    counted = RecordedMetadata(stores.metadata)
    registry = Registry(stores.blobs, counted)
    registry.tags.delete("team/app", "v1")
    without, counted.calls[:] = len(counted.calls), []
    set_rules(immutable=("*:x*",))
    set_rules("team", immutable=("*:y*",))

    registry.tags.delete("team/app", "v2")

    assert len(counted.calls) == without == 2


def test_collection_honours_the_undelete_window_of_the_registry_and_of_a_namespace(
    registry: Registry, stores: Stores, clock: FakeClock, set_rules: Callable[..., object]
) -> None:
    set_rules(undelete=10 * DAY)
    set_rules("team", undelete=20 * DAY)
    for repository in ("team/app", "other/app"):
        push_image(registry, repository, "v1")
        registry.deletion.repository(repository)

    def left() -> list[str]:
        rules = registry.rules.read_all()
        periods = GracePeriods(
            undelete=rules.undelete(clock()),
            undelete_of=lambda name: rules.of(name).undelete(clock()),
            guard=rules.guard,
        )
        Collector(registry, periods, clock=clock).run()
        return [name for name in ("team/app", "other/app") if [*registry.undelete.tombstones(name)]]

    clock.advance(days=9)
    assert left() == ["team/app", "other/app"]
    clock.advance(days=2)
    assert left() == ["team/app"]
    clock.advance(days=10)
    assert left() == []


def test_nothing_is_purged_by_rules_that_have_changed_since(
    registry: Registry, stores: Stores, clock: FakeClock, set_rules: Callable[..., object]
) -> None:
    set_rules(undelete=DAY)
    push_image(registry, "team/app", "v1")
    registry.deletion.repository("team/app")
    clock.advance(days=2)
    old = registry.rules.read_all()
    set_rules(undelete=30 * DAY)

    report = Collector(registry, GracePeriods(undelete=timedelta(days=1), guard=old.guard), clock=clock).run()

    assert report is not None
    assert report.counts["tombstones purged"] == 0
    assert len([*registry.undelete.tombstones("team/app")]) == 2


def test_a_shorter_window_waits_until_the_former_one_has_passed(
    registry: Registry, clock: FakeClock, set_rules: Callable[..., object]
) -> None:
    def window() -> timedelta:
        return registry.rules.read("team/app").undelete(clock())

    set_rules(undelete=30 * DAY)
    set_rules(undelete=10 * DAY)
    assert window() == timedelta(days=30)
    clock.advance(days=15)
    set_rules(undelete=DAY)
    assert window() == timedelta(days=30)
    clock.advance(days=16)
    assert window() == timedelta(days=1)
    set_rules()
    assert window() == DEFAULT_UNDELETE


def test_a_namespace_cannot_protect_less(stores: Stores, clock: FakeClock) -> None:
    wrong: dict[str, Values] = {
        "shorter than the registry's": {"undelete": DAY},
        "only make exceptions": {"allow-missing": ("team/*:sparse",)},
        "whole registry": {"grace": DAY},
        "immutable tags": {
            "cleanup": '[{"name":"a","action":{"type":"Delete"},"condition":{"tagState":"any"},"immutableTags":true}]'
        },
        "mode plan": {"cleanup-mode": "apply"},
    }
    for reason, values in wrong.items():
        with pytest.raises(RulesError, match=reason):
            change_rules(stores.metadata, RulesDocument({"team": values}), "alice", clock)
    assert stores.metadata.read([REGISTRY_RULES])[REGISTRY_RULES] is None


def test_rules_are_restored_before_the_first_tag(
    stores: Stores,
    registry: Registry,
    set_rules: Callable[..., object],
    clock: FakeClock,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    push_image(registry, "team/app", "v1")
    set_rules(immutable=("*:v*",), undelete=30 * DAY)
    set_rules("team", immutable=("*:stable",))
    folder = tmp_path_factory.mktemp("copies")
    back_up(stores, folder / "backup")
    target = folder_stores(folder / "data")
    # A server has already started there.
    apply_configured(target.metadata, RulesDocument({}), "configuration", clock)

    restore(folder / "backup", target)

    copy = Registry(target.blobs, target.metadata)
    assert copy.rules.read_all().values() == registry.rules.read_all().values() != []
    assert is_refused(lambda: copy.tags.delete("team/app", "v1"))
    set_again = replace(copy.rules.read_all().registry or RegistryRules(id="", changed=clock()), given=())
    assert set_again.number == 2
    before = target.metadata.read([REGISTRY_RULES])[REGISTRY_RULES]
    restore(folder / "backup", target)
    after = target.metadata.read([REGISTRY_RULES])[REGISTRY_RULES]
    assert before is not None
    assert after == replace(before, version=after.version if after else "")
    assert after.version != before.version, "a change in flight reads the restored rules of namespaces"
    target.close()


def test_the_defaults_are_those_of_the_settings() -> None:
    texts = {
        each.option: each.default for each in SETTINGS if each.section == "rules" and each.option != "rules-serial"
    }
    assert texts.keys() == {each.name for each in RULE_TYPES}
    assert texts["undelete"] == f"{DEFAULT_UNDELETE.days}d"
    assert texts["grace"] == f"{int(DEFAULT_GRACE.total_seconds()) // 3600}h"
    assert texts["cleanup-mode"] == "plan"
