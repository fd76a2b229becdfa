"""A registry that is served with rules, and commands beside it that were given none."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from lading import cli
from lading.composition import collector_of, create, open_metadata
from lading.configured_rules import PolicyChanges
from lading.registry.change_context import now
from lading.registry.registry import Registry
from lading.settings import load_settings
from lading_storage.errors import Unavailable
from lading_storage.protocols import Found
from tests.support.registry_pushes import push_image

POLICIES = '[{"name":"all","action":{"type":"Delete"},"condition":{"tagState":"any"}}]'


@pytest.fixture
def environment(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The stores, also for commands in this process."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


def served(environment: Mapping[str, str], **options: str) -> Registry:
    """Return the registry of a server that starts with options."""
    given = {name.replace("_", "-"): value for name, value in {"access": "everybody", **options}.items()}
    return create(load_settings(environment, given)).registry


def test_delete_on_stores_that_are_served_with_immutable_tags_is_refused(
    environment: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    push_image(served(environment, immutable="*:v*"), "team/app", "v1")

    assert cli.main(["delete", "--yes", "team/app:v1"]) == 1
    assert "immutable by the rule *:v*" in capsys.readouterr().err
    # The next start without the option leaves the rule.
    served(environment)
    assert cli.main(["delete", "--yes", "team/app"]) == 1


def test_gc_honours_the_undelete_window_that_is_served(
    environment: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    registry = served(environment, undelete="30d")
    push_image(registry, "team/app", "v1")
    registry.tags.delete("team/app", "v1")

    assert cli.main(["gc", "--undelete", "0s"]) == 1
    assert "the registry's rule is 30d, and 0s would protect less" in capsys.readouterr().err
    assert cli.main(["gc", "--quiesced"]) == 0
    capsys.readouterr()
    assert cli.main(["deleted", "team/app", "--json"]) == 0
    (row,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert row["reference"] == "team/app:v1"


def test_gc_with_a_shorter_window_works_where_the_registry_has_no_rule(environment: Mapping[str, str]) -> None:
    registry = served(environment)
    push_image(registry, "team/app", "v1")
    registry.tags.delete("team/app", "v1")

    assert cli.main(["gc", "--undelete", "0s"]) == 0

    assert not [*registry.undelete.tombstones("team/app")]


def test_clean_up_goes_by_the_policies_that_are_served(
    environment: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = served(environment, cleanup=POLICIES, cleanup_mode="plan", immutable="*:v*")
    push_image(registry, "team/app", "v1")
    push_image(registry, "team/app", "latest")
    (tmp_path / "other.json").write_text(POLICIES.replace('"any"', '"untagged"'))

    assert cli.main(["cleanup", "apply", "--yes", "--cleanup", str(tmp_path / "other.json")]) == 1
    assert cli.main(["gc", "--cleanup-mode", "apply"]) == 1
    assert "lading rules apply" in capsys.readouterr().err
    assert cli.main(["gc"]) == 0
    assert registry.tags.names("team/app", "", 9).items == ["latest", "v1"]
    assert cli.main(["cleanup", "apply", "--yes"]) == 0
    assert registry.tags.names("team/app", "", 9).items == ["v1"]


@contextmanager
def without_commits(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the metadata store refuse every commit until the block ends."""

    def fail(*_: object, **__: object) -> Found:
        raise Unavailable("down")

    kind = type(open_metadata(load_settings(environment).metadata))
    with monkeypatch.context() as patched:
        patched.setattr(kind, "commit", fail)
        yield


def test_a_start_without_its_store_serves_and_applies_the_rules_before_the_first_change(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    push_image(served(environment), "team/app", "v1")
    with without_commits(environment, monkeypatch):
        registry = served(environment, immutable="*:v*")
        assert registry.manifests.find("team/app", "v1")
        with pytest.raises(Unavailable):
            registry.tags.delete("team/app", "v1")

    with pytest.raises(Exception, match="immutable by the rule"):
        registry.tags.delete("team/app", "v1")


def test_a_server_applies_its_policies_again_only_when_their_file_changes(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "policies.json"
    file.write_text(POLICIES)
    settings = load_settings(environment, {"access": "everybody", "cleanup": str(file), "cleanup-mode": "apply"})
    earlier, policies = create(settings).registry, PolicyChanges(settings)
    later = served(environment, cleanup="[]", cleanup_mode="plan")

    policies.apply(earlier)
    recorded = later.rules.read_all().registry
    assert recorded is not None
    assert (recorded.cleanup, recorded.cleanup_mode) == ("[]", "plan"), "the latest start decides"

    file.write_text(POLICIES.replace("all", "edited"))
    policies.apply(earlier)
    recorded = later.rules.read_all().registry
    assert recorded is not None
    assert "edited" in recorded.cleanup


def test_a_collection_waits_until_the_rules_of_its_server_are_applied(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(environment)
    push_image(served(environment), "team/app", "v1")
    with without_commits(environment, monkeypatch):
        registry = served(environment, undelete="30d")
        with pytest.raises(Unavailable):
            collector_of(settings, registry)

    collector_of(settings, registry)

    assert registry.rules.read_all().undelete(now()) == timedelta(days=30)
