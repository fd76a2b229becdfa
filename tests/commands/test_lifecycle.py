"""The commands around what was: history, rollback, delete, deleted, undelete."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lading import cli
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from tests.commands.tables import json_rows, table
from tests.support import images
from tests.support.registry_pushes import push_image
from tests.support.server_process import Server, run_lading, serving

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(environment: Mapping[str, str], tmp_path: Path) -> Run:
    """Runs `lading WORDS…` on the stores of the server, while it serves."""

    def run(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = run_lading(words, tmp_path, environment)
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def server(environment: Mapping[str, str], tmp_path: Path) -> Iterator[Server]:
    rules = {"LADING_IMMUTABLE": "prod/*:v*"}
    with serving({**environment, **rules}, tmp_path / "server.log") as started:
        yield started


def push(server: Server, repository: str, tag: str, text: str) -> str:
    """Push an image of its own; answers its digest."""
    manifest = images.manifest([], annotations={"text": text})
    config = images.EMPTY_CONFIG
    server.request("POST", f"/v2/{repository}/blobs/uploads/?digest={digest_of(config)}", config)
    response, _ = server.request("PUT", f"/v2/{repository}/manifests/{tag}", manifest)
    assert response.status == 201
    return digest_of(manifest)


def pulled(server: Server, repository: str, tag: str) -> str | None:
    response, _ = server.request("GET", f"/v2/{repository}/manifests/{tag}")
    return response.headers["Docker-Content-Digest"]


def test_a_tag_is_rolled_back_and_everyone_sees_it(server: Server, run: Run) -> None:
    first, second = push(server, "team/app", "v1", "one"), push(server, "team/app", "v1", "two")

    assert run("rollback", "team/app:v1").stdout == f"team/app:v1 names {first}\n"

    assert pulled(server, "team/app", "v1") == first
    events = json_rows(run("history", "--json", "team/app:v1").stdout)
    assert [event["action"] for event in events] == ["rollback", "push", "push"]
    assert (events[0]["before"], events[0]["digest"]) == (second, first)
    assert events[0]["by"].endswith("(lading rollback)")
    row = table(run("history", "team/app:v1").stdout)[0]
    assert row["CHANGE"] == f"{second[:19]} -> {first[:19]}"
    assert table(run("history", "--wide", "team/app:v1").stdout)[0]["CHANGE"] == f"{second} -> {first}"
    run("rollback", "team/app:v1", "--to", second)
    assert pulled(server, "team/app", "v1") == second
    run("rollback", "team/app:v1", "--at", "2020-01-01", status=1)
    assert (
        "the manifest has been deleted" in run("rollback", "team/app:v1", "--to", digest_of(b"absent"), status=1).stderr
    )


def test_an_immutable_tag_is_refused_by_its_rule(server: Server, run: Run) -> None:
    push(server, "prod/app", "v1", "one")

    response, body = server.request("PUT", "/v2/prod/app/manifests/v1", images.manifest([], annotations={"text": "x"}))

    assert response.status == 409
    assert "prod/*:v*" in json.loads(body)["errors"][0]["message"]
    response, body = server.request("DELETE", "/v2/prod/app/manifests/v1")
    assert (response.status, json.loads(body)["errors"][0]["code"]) == (409, "DENIED")
    assert "immutable" in run("delete", "--yes", "prod/app", "--immutable", "prod/*:*", status=1).stderr
    assert "REPOSITORY:TAG" in run("delete", "--yes", "prod/app", "--immutable", "v1", status=1).stderr


def test_what_was_deleted_is_listed_and_restored(server: Server, run: Run) -> None:
    digest = push(server, "team/app", "v1", "one")
    assert server.request("DELETE", f"/v2/team/app/manifests/{digest}")[0].status == 202
    listed = json_rows(run("deleted", "--json", "team/app").stdout)
    assert [row["reference"] for row in listed] == [f"team/app@{digest}", "team/app:v1"]
    assert [row["KIND"] for row in table(run("deleted", "team/app").stdout)] == ["manifest", "tag"]
    assert [row["REFERENCE"] for row in table(run("deleted", "team/app:v1").stdout)] == ["team/app:v1"]
    assert [row["KIND"] for row in table(run("deleted", f"team/app@{digest[:16]}").stdout)] == ["manifest"]
    assert "`lading deleted team/app` lists what was" in run("deleted", "team/app:v2", status=1).stderr

    run("undelete", f"team/app@{digest}")

    assert pulled(server, "team/app", "v1") == digest
    run("delete", "--yes", "team/app")
    assert pulled(server, "team/app", "v1") is None
    run("undelete", "team/app")
    assert pulled(server, "team/app", "v1") == digest
    run("delete", "team/app:v1")
    push(server, "team/app", "v1", "two")
    assert "the tag now points to another manifest: tag v1, " in run("undelete", "team/app:v1", status=1).stderr
    run("undelete", "team/app:v1", "--force")
    assert pulled(server, "team/app", "v1") == digest


def test_what_is_deleted_for_good_does_not_come_back(server: Server, run: Run) -> None:
    digest = push(server, "team/app", "v1", "one")

    run("delete", "--yes", "--for-good", f"team/app@{digest}")

    assert run("deleted", "team/app").stdout == ""
    run("undelete", f"team/app@{digest}", status=1)
    for words in (("undelete", "Team"), ("delete", "a:b:c"), ("history", "a@b"), ("rollback", "team/app")):
        run(*words, status=1)


def test_history_shows_times_that_at_takes_and_as_of_without_punctuation(server: Server, run: Run) -> None:
    digests = [push(server, "team/app", "v1", text) for text in ("one", "two", "three")]

    times = [row["TIME"] for row in table(run("history", "team/app:v1").stdout)]

    basic = [re.sub("[-:]", "", time) for time in times]
    assert [pulled(server, "team/app", f"v1.asof-{time}") for time in reversed(basic)] == digests
    assert run("rollback", "team/app:v1", "--at", times[1]).stdout == f"team/app:v1 names {digests[1]}\n"
    response, _ = server.request("PUT", f"/v2/team/app/manifests/v1.asof-{basic[0]}", images.manifest([]))
    assert response.status == 400


def test_what_was_never_deleted_is_not_restored(server: Server, run: Run) -> None:
    digest = push(server, "team/app", "v1", "one")
    nothing = "nothing that was deleted under this name"

    for name in ("team/app", "team/app:v1", "team/app:v2", f"team/app@{digest}"):
        assert nothing in run("undelete", name, status=1).stderr
    run("delete", "--yes", "team/app")
    assert run("undelete", "team/app").stdout == "restored team/app\n"
    assert nothing in run("undelete", "team/app", status=1).stderr
    run("delete", "--yes", "--for-good", "team/app")
    assert nothing in run("undelete", "team/app", status=1).stderr


@pytest.mark.parametrize("command", ["history", "deleted"])
def test_an_unknown_repository_is_an_error(
    registry: Registry, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image = push_image(registry, "team/app", "v1")
    assert cli.main([command, "team/absent"]) == 1
    assert "team/absent" in capsys.readouterr().err
    assert cli.main(["history", "team/app:v2"]) == 1
    assert capsys.readouterr().err == "lading: there is no history of team/app:v2\n"

    registry.deletion.repository("team/app")

    assert cli.main([command, "team/app", "--json"]) == 0
    assert image.digest in capsys.readouterr().out
