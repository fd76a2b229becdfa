"""Commands with `--registry`: they print what they print on the stores, on both pairs of stores."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lading import cli
from lading.commands import store_source
from lading.registry.change_context import ChangeContext, now
from lading.registry.registry import Registry
from lading.registry.rules.changes import RulesDocument, change_rules
from lading.surface import request_context
from lading_storage.digests import digest_of
from tests.commands.tables import json_rows
from tests.policies.examples import KEYS
from tests.support.indexes import push_index
from tests.support.management_server import USERS, ManagementServer
from tests.support.registry_pushes import push_image

Both = Callable[[str], tuple[str, str]]
Run = Callable[..., str]


READS = (
    "ls",
    "ls --json",
    "ls --limit 1",
    "ls --after a --json --limit 2",
    "ls team/app",
    "ls team/app --wide",
    "ls team/app --json --limit 1",
    "ls team/app --after v1 --limit 0",
    "ls absent",
    "show team/app:v2",
    "show team/app:v2 --json --wide",
    "show team/app:v2 --platform linux/arm64",
    "show team/app:v2 --platform linux/s390x",
    "show team/app:absent",
    "show absent:v1",
    "show team/app@sha256:0000",
    "history team/app",
    "history team/app:v1 --json",
    "history team/app:v1 --limit 1 --wide",
    "history team/app:absent",
    "history absent",
    "deleted b",
    "deleted b --json --wide",
    "deleted a",
    "deleted absent",
)


def test_reads_print_the_same(registry: Registry, both: Both) -> None:
    _, children, _ = push_index(registry, "team/app", "v2", "v3")
    first = push_image(registry, "team/app", "v1").digest
    registry.last_pulls.record_pull("team/app", first)
    push_image(registry, "team/app", "v1")
    for name in ("a", "b", "c"):
        push_image(registry, name, "v1")
    for _ in range(3):
        registry.deletion.manifest(
            "b", push_image(registry, "b", "gone", "also").digest, ChangeContext("delete", "alice")
        )

    lines = [*READS, f"show team/app@{digest_of(children[0])} --json", f"show team/app@{first[:19]}"]
    different = [(line, *outputs) for line in lines if len({*(outputs := both(line))}) > 1]

    assert different == []
    assert first[:19] in both("history team/app")[1]


CHANGES = (
    "rollback {0}:v1",
    "rollback {0}:v1 --steps 9",
    "rollback {0}:v1 --to {1} --json",
    "rollback {0}:v1 --at 2000-01-01",
    "rollback {0}:absent",
    "tag {0}:v1 v3",
    "tag {0}@{2} v4 --json",
    "tag {0}:absent v5",
    "tag {0}:v1 v1.asof-20261101T120000Z",
    "delete {0}:v3",
    "delete {0}:v3",
    "undelete {0}:v3",
    "undelete {0}:never --json",
    "delete {0}@{2}",
    "show {0}@{2}",
    "undelete {0}@{2}",
    "delete {0} --yes",
    "ls {0}",
    "undelete {0}",
    "ls {0} --json",
)
"""Command lines, with the repository and two of its digests."""


def test_changes_print_the_same_and_do_the_same(
    registry: Registry, remote: ManagementServer, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    digests: dict[str, list[str]] = {}
    for repository in ("local", "other"):
        digests[repository] = [push_image(registry, repository, "v1", "v2").digest for _ in range(3)]
    for line in CHANGES:
        outputs = []
        for repository, option in (("local", []), ("other", ["--registry", remote.url])):
            first, second, _ = digests[repository]
            status = cli.main([*line.format(repository, first[:19], second[7:19]).split(), *option])
            done = capsys.readouterr()
            text = f"{status}\n{done.out}\n{done.err}".replace(repository, "X")
            for number, digest in enumerate(digests[repository]):
                for length in (len(digest), 19, 12):
                    text = text.replace(digest[:length], f"D{number}").replace(digest[7:19], f"D{number}")
            outputs.append(text.split('"pushed"')[0].split(" 2026-")[0].split())
        assert outputs[0] == outputs[1], line

    events = [
        [(each["tag"], each["action"]) for each in json_rows(run(f"history {repository} --json"))]
        for repository in ("local", "other")
    ]
    assert sorted(events[0]) == sorted(events[1])
    assert "admin" in {each["by"] for each in json_rows(run("history other --json"))}


def test_what_was_deleted_is_listed_by_pages(registry: Registry, both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        registry.deletion.manifest("a", push_image(registry, "a", "v1", "v2").digest)
    whole = both("deleted a --json")
    monkeypatch.setattr(store_source, "PAGE_SIZE", 1)
    monkeypatch.setattr(request_context, "MAX_PAGE_SIZE", 1)

    assert both("deleted a --json") == whole
    assert len(whole[1].splitlines()) == 1 + 2 + 2 + 1


def test_an_immutable_tag_is_refused_by_its_rule(registry: Registry, run: Run) -> None:
    rules = RulesDocument({"": {"immutable": ("prod/*:v*",)}})
    change_rules(registry.metadata, rules, "admin", now)
    push_image(registry, "prod/app", "v1")
    push_image(registry, "prod/app", "w1")

    for line in ("tag prod/app:w1 v1", "delete prod/app:v1", "delete prod/app --yes"):
        assert "prod/*:v*" in run(line, status=1)
    assert [row["tag"] for row in json_rows(run("ls prod/app --json"))] == ["v1", "w1"]


@pytest.mark.parametrize("user", USERS)
def test_rights_are_those_of_the_same_requests_elsewhere(
    user: str, registry: Registry, remote: ManagementServer, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    remote.log_in(user)
    first, second = push_image(registry, "team/app", "v1").digest, push_image(registry, "team/app", "v1").digest
    registry.rollback.to_digest("team/app", "v1", first, ChangeContext("rollback", "alice"))
    allowed = {"pull": ["ls", "ls team/app", "show team/app:v1", "history team/app"]}
    allowed["push"] = [f"rollback team/app:v1 --to {second}", "rollback team/app:v1", "tag team/app:v1 v2"]
    allowed["delete"] = [
        "deleted team/app",
        "delete team/app:v1",
        "undelete team/app:v1",
        "delete team/app --yes",
        "undelete team/app",
    ]

    for right, lines in allowed.items():
        for line in lines:
            may = right in USERS[user].split(",")
            printed = run(line, status=0 if may else 1)
            if not may:
                assert f"the credentials are those of {user} from" in printed

    details = json.loads(run("show team/app:v1 --json"))
    assert bool(details["pushed_by"]) == ("push" in USERS[user])
    actors = {each["by"] for each in json_rows(run("history team/app --json"))}
    assert actors == ({"", "alice", user} if "push" in USERS[user] else {""})


def test_a_deleter_does_not_move_a_tag_that_exists(registry: Registry, remote: ManagementServer, run: Run) -> None:
    push_image(registry, "team/app", "v1")
    registry.tags.delete("team/app", "v1")
    live = push_image(registry, "team/app", "v1").digest

    remote.log_in("deleter")
    assert "force needs the right to push" in run("undelete team/app:v1 --force", status=1)
    assert registry.manifests.find("team/app", "v1").digest == live
    remote.log_in("admin")
    run("undelete team/app:v1 --force")
    assert registry.manifests.find("team/app", "v1").digest != live


def test_a_listing_names_only_what_the_caller_may_pull(
    registry: Registry, remote: ManagementServer, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (remote.folder / "grants").write_text("reader team/* pull\n")
    remote.log_in("reader")
    for name in ("a", "secret", "team/app", "team/web", "z"):
        push_image(registry, name, "v1")

    assert [row["name"] for row in json_rows(run("ls --json"))] == ["team/app", "team/web"]
    assert [row["name"] for row in json_rows(run("ls --json --limit 1"))] == ["team/app"]
    assert run("show secret:v1", status=1) == run("show absent:v1", status=1).replace("absent", "secret")


def test_the_stores_are_another_source(registry: Registry, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    push_image(registry, "team/app", "v1")

    assert "run it where they are" in run("delete --for-good --yes team/app:v1", status=1)
    assert "--registry and --data name two registries" in run("ls --data x", status=1)
    for line in ("gc", "scrub", "backup x", "doctor", "vacuum", "cleanup plan", "users list"):
        name = " ".join(line.split()[: 2 if line.startswith(("cleanup", "users")) else 1])
        assert f"`lading {name}` works on the stores" in run(line, status=1)
    assert cli.main(["ls", "--gcloud"]) == 1
    assert "are for --registry" in capsys.readouterr().err


RULES = """
[rules]
immutable = ["prod/*:v*"]
undelete = "30d"
cleanup-mode = "plan"

[[rules.cleanup]]
name = "old"
action = {type = "Delete"}
condition = {tagState = "untagged", olderThan = "30d"}

[[rules.policies]]
name = "prod"
repositories = ["prod/*"]
signatures.keys = [{name = "release", file = "cosign.pub"}]
exceptions = [{image = "prod/old", until = 2030-01-31, reason = "legacy"}]

[namespaces.team]
undelete = "60d"

[[namespaces.team.policies]]
name = "scanned"
repositories = ["team/*"]
scan.required = true
"""
SHORTER = '[rules]\nundelete = "8d"\n'


def test_rules_are_shown_and_set_the_same(registry: Registry, both: Both, run: Run, tmp_path: Path) -> None:
    push_image(registry, "team/app", "v1")
    (tmp_path / "cosign.pub").write_text(KEYS["release"])
    for name, text in (("rules", RULES), ("shorter", SHORTER), ("wrong", SHORTER.replace("8d", "x"))):
        (tmp_path / name).write_text(text)
    assert len({*both("rules show")}) == 1
    assert len({*both(f"rules apply --dry-run {tmp_path}/rules")}) == 1

    run(f"rules apply {tmp_path}/rules")
    assert len({*both("rules show --wide")}) == len({*both("rules show team/app --json")}) == 1
    assert "admin" in run("rules show")
    assert "60d" in run("rules show team/app")
    assert len({*both("policy show")}) == len({*both("policy show team/app --json")}) == 1
    assert [each in run("policy show") for each in ("prod", "team/scanned", "signed by release")] == [True] * 3
    assert ("prod" in run("policy show team/app"), "scanned" in run("policy show team/app")) == (False, True)
    assert "no policy names other/app" in run("policy show other/app")
    assert "use --yes" in run(f"rules apply {tmp_path}/shorter", status=2)
    run(f"rules apply --yes {tmp_path}/shorter")
    assert len({*both("rules show --json")}) == 1
    assert "30d until" in run("rules show")
    assert "nothing was changed" in run(f"rules apply {tmp_path}/wrong", status=1)


def test_rules_are_for_those_who_may_manage_them(registry: Registry, remote: ManagementServer, run: Run) -> None:
    remote.log_in("pusher")
    assert "the credentials are those of pusher from" in run("rules show", status=1)
