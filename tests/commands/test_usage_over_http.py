"""`lading du --registry`: it prints what it prints on the stores, of what the caller may pull."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from lading.registry.change_context import now
from lading.registry.cleanup.apply import CleanupTarget
from lading.registry.registry import Registry
from lading.surface import request_context
from lading_storage.stores import Stores
from tests.cleanup.signed_images import push_signed_image
from tests.commands.tables import json_rows
from tests.support.management_server import ManagementServer
from tests.support.registry_pushes import push_blob, push_image

Both = Callable[[str], tuple[str, str]]
Run = Callable[..., str]

POLICIES = """
[[rules.cleanup]]
name = "old"
action = {type = "Delete"}
condition = {tagPrefixes = ["v"]}

[[namespaces.team.cleanup]]
name = "signed"
action = {type = "Delete"}
condition = {tagPrefixes = ["same"]}
"""
TRIAL = '[{"name":"trial","action":{"type":"Delete"},"condition":{"tagState":"any"}}]'

USAGE = (
    "du",
    "du --json",
    "du team/app",
    "du team/app --json",
    "du b --json",
    "du deleted",
    "du absent",
    "du b:v1",
    f"du --json --cleanup {TRIAL}",
)


def test_usage_is_the_same(
    stores: Stores, both: Both, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(stores.blobs, stores.metadata, clock=lambda *_: now() - timedelta(days=2))
    base = b"b" * 100_000
    signed = [push_signed_image(registry, name, "v1", "same", base=base) for name in ("team/app", "team/two", "b")]
    push_image(registry, "team/app", "w1")
    registry.last_pulls.record_pull("team/app", push_image(registry, "team/app", "v2").digest)
    for repository, content in (("team/app", b"g" * 5_000), ("never-pushed", b"h" * 100)):
        push_blob(registry, repository, content)
    registry.deletion.manifest("deleted", push_image(registry, "deleted", "v1").digest)
    (tmp_path / "policies").write_text(POLICIES)
    run(f"rules apply {tmp_path}/policies")
    registry.in_use_reports.report("cluster", ["host:5000/team/two:v1", signed[2].platforms[0], "elsewhere:v1"])
    index = next(node for node in registry.inventory.nodes("team/app") if node.digest == signed[0].index)
    # Its platforms are deleted with it the next time.
    registry.cleanup_deletion.delete([CleanupTarget(index, "old", index.digest)], registry.rules.read("team/app"))
    whole = {line: both(line) for line in USAGE}
    monkeypatch.setattr(request_context, "MAX_PAGE_SIZE", 3)

    assert [line for line in USAGE if len({*whole[line]}) > 1] == []
    assert both("du --json") == whole["du --json"]
    assert both("du team/app --json") == whole["du team/app --json"]
    frees = {row.get("name"): row["frees"] for row in json_rows(run("du --json"))}
    assert (frees["team/two"], frees["b"]) == (0, 0), "they are in use"
    assert frees["team/app"] > 2 * 100
    assert "there is no repository absent" in run("du absent", status=1)


def test_usage_is_that_of_what_the_caller_may_pull(
    registry: Registry, remote: ManagementServer, both: Both, run: Run
) -> None:
    base = b"b" * 100_000
    for name in ("other/app", "secret", "team/app", "team/two"):
        push_signed_image(registry, name, "v1", base=base if name != "team/two" else b"")
    whole = json_rows(both("du --json")[0].split("\n", 1)[1].strip())
    (remote.folder / "grants").write_text("reader team/* pull\n")

    remote.log_in("reader")
    *rows, total = json_rows(run("du --json"))
    assert [row["name"] for row in rows] == ["team/app", "team/two"]
    assert [row["bytes"] for row in rows] == [row["bytes"] for row in whole if row.get("name", "").startswith("team/")]
    assert total["stored"] == sum(row["bytes"] for row in rows) - total["saved"]
    assert {row["frees"] for row in [*rows, total]} == {None}, "only who may push and delete sees what policies do"
    assert run("du secret", status=1) == run("du absent", status=1).replace("absent", "secret")
    for line in ("du --json", "du team/app --json"):
        assert all(row["shared"] < len(base) for row in json_rows(run(line))[:-1]), "others are not revealed"
