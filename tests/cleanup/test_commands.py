"""`lading cleanup`, `lading running` and `lading du`, on both pairs of stores."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lading import cli
from lading.jobs.prices import BLOBS
from lading.registry.registry import Registry
from tests.cleanup.signed_images import push_signed_image
from tests.commands.tables import json_rows, table
from tests.support.registry_pushes import push_blob, push_image

ALL = '[{"name": "all", "action": {"type": "Delete"}, "condition": {"tagPrefixes": ["v"]}}]'
KEEP_LATEST = ALL[:-1] + ', {"name": "newest", "action": {"type": "Keep"}, "mostRecentVersions": {"keepCount": 1}}]'

Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `lading WORDS…` on the stores; return what it prints, or its error where that is expected."""

    def run(*words: str, stdin: str = "", status: int = 0) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        assert cli.main(words) == status
        done = capsys.readouterr()
        return done.err if status else done.out

    return run


def digests(registry: Registry, repository: str) -> set[str]:
    return {node.digest for node in registry.inventory.nodes(repository)}


def test_a_plan_says_what_and_why_and_apply_does_just_that(registry: Registry, run: Run, tmp_path: Path) -> None:
    old, new = push_signed_image(registry, "team/app", "v1"), push_signed_image(registry, "team/app", "v2")
    policies = tmp_path / "policies.json"
    policies.write_text(KEEP_LATEST)
    options = ("--cleanup", str(policies))

    shown, _, total = run("cleanup", "plan", "--wide", *options).strip().rpartition("\n")
    rows = table(shown)
    assert sorted(row["ACTION"] for row in rows) == ["delete"] * 6 + ["keep"] * 6
    (row,) = [row for row in rows if old.sbom in row["MANIFEST"]]
    assert (row["TAGS"], row["WHY"]) == ("-", f"referrer of {old.index}: policy 'all'")
    assert total.startswith("team/app: keeps 6, deletes 6, frees ")

    plan = tmp_path / "plan.json"
    plan.write_text(run("cleanup", "plan", "--json", *options))
    later = push_signed_image(registry, "team/app", "v3")
    assert digests(registry, "team/app") == old.all | new.all | later.all

    assert table(run("cleanup", "apply", "--yes", str(plan), *options)) == [
        {"REPOSITORY": "team/app", "DELETED": "6", "KEPT": "6", "SKIPPED": "6", "TAGS DELETED": "0"}
    ]
    assert digests(registry, "team/app") == new.all | later.all
    assert json_rows(run("cleanup", "apply", "--yes", "--json", *options)) == [
        {"repository": "team/app", "deleted": 6, "kept": 6, "skipped": 0, "tags": 0}
    ]
    assert digests(registry, "team/app") == later.all


def test_what_a_plan_frees_is_what_nothing_else_holds(registry: Registry, run: Run) -> None:
    base = b"b" * 1_000
    image = push_signed_image(registry, "team/app", "v1", base=base)
    push_signed_image(registry, "team/other", "x1", base=base)
    words = ("cleanup", "plan", "--json", "--cleanup", ALL)
    rows = [json.loads(line) for line in run(*words, "team/app").splitlines()]
    everywhere = [json.loads(line) for line in run(*words).splitlines()]
    assert [row for row in everywhere if row["repository"] == "team/app"] == rows
    freed = {row["digest"]: row["frees"] for row in rows if not row["kept"]}
    size = {node.digest: node.size for node in registry.inventory.nodes("team/app")}
    assert freed.keys() == image.all
    assert freed[image.index] == size[image.index]
    assert freed[image.sbom] == size[image.sbom] + 100
    assert freed[image.platforms[0]] == size[image.platforms[0]] + 100


def test_nothing_goes_without_policies_or_by_what_is_no_plan(registry: Registry, run: Run, tmp_path: Path) -> None:
    image = push_signed_image(registry, "team/app", "v1")
    plan = tmp_path / "plan"
    assert "there are no policies" in run("cleanup", "apply", "--yes", status=1)
    assert "unknown field" in run("cleanup", "plan", "--cleanup", ALL.replace("tagPrefixes", "tags"), status=1)
    assert "No such file" in run("cleanup", "plan", "--cleanup", "none.json", status=1)
    for text in ("[]", "{", '{"repository": "../x", "digest": "y", "kept": false}', '{"kept": false}'):
        plan.write_text(text)
        assert "is not a plan" in run("cleanup", "apply", str(plan), "--cleanup", ALL, status=1)
    assert digests(registry, "team/app") == image.all


def test_what_is_reported_to_run_is_kept_until_it_is_forgotten(registry: Registry, run: Run, tmp_path: Path) -> None:
    images = {tag: push_signed_image(registry, "team/app", tag) for tag in ("v1", "v2", "v3")}
    file = tmp_path / "running"
    file.write_text(f"\n{images['v2'].platforms[0]}\n")
    run("in-use", "report", "cluster-1", stdin="host:5000/team/app:v1\nlibrary/other:v3\n")

    def kept(*words: str) -> set[str]:
        lines = run("cleanup", "plan", "--json", "--cleanup", ALL, *words).splitlines()
        return {row["digest"] for row in map(json.loads, lines) if row["kept"]}

    listed = [(row["SOURCE"], row["REFERENCE"], row["AGE"]) for row in table(run("running", "list"))]
    assert listed == [("cluster-1", "host:5000/team/app:v1", "0 days"), ("cluster-1", "library/other:v3", "0 days")]
    assert kept() == images["v1"].all
    assert kept("--running", str(file)) == images["v1"].all | images["v2"].all
    assert "run `lading in-use forget`" in run("in-use", "report", "cluster-1", stdin="\n", status=1)
    assert "neither a digest nor a reference" in run("running", "report", "cluster-1", stdin="a b:c:d\n", status=1)
    assert kept() == images["v1"].all
    run("running", "report", "cluster-1", stdin=f"team/app@{images['v3'].index}\n")
    assert kept() == images["v3"].all
    run("running", "forget", "cluster-1")
    assert kept() == set()
    assert "has reported nothing" in run("running", "forget", "cluster-1", status=1)


def test_du_counts_what_is_alone_and_what_is_shared(registry: Registry, run: Run) -> None:
    base = b"b" * 100_000
    for repository in ("team/app", "team/two"):
        push_signed_image(registry, repository, "v1", "same", base=base)
    push_image(registry, "team/app", "w1")
    push_blob(registry, "team/app", b"g" * 5_000)

    policies = ALL.replace('["v"]', '["v", "same"]')
    rows = [json.loads(line) for line in run("du", "--json", "--cleanup", policies).splitlines()]
    by_name, total = {row["name"]: row for row in rows[:-1]}, rows[-1]
    assert list(by_name) == ["team/app", "team/two"]
    for row in by_name.values():
        assert row["shared"] == 100_000 + len(b"{}")
        assert row["bytes"] == row["alone"] + row["shared"]
    assert by_name["team/two"]["frees"] == by_name["team/two"]["alone"]
    assert 0 < by_name["team/app"]["frees"] < by_name["team/app"]["alone"] - 5_000
    assert total["saved"] == 100_000 + len(b"{}")
    assert total["stored"] == sum(row["bytes"] for row in by_name.values()) - total["saved"]

    rows = [json.loads(line) for line in run("du", "team/app", "--json").splitlines()]
    tags = {row["name"]: row for row in rows[:-1]}
    assert list(tags) == ["same", "v1", "w1", "(no tag)", "(no manifest)"]
    assert tags["v1"]["alone"] == tags["same"]["alone"] == 0, "each goes on through the other"
    assert tags["v1"]["bytes"] == tags["same"]["bytes"] > 100_000
    assert tags["w1"]["shared"] == len(b"{}")
    assert (tags["(no tag)"]["bytes"], tags["(no manifest)"]["bytes"]) == (0, 5_000)

    shown = run("du")
    assert BLOBS.read in shown
    assert "sharing saves 100.0 kB" in shown
    assert "there is no repository" in run("du", "nothing/here", status=1)
