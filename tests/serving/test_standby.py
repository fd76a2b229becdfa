"""A backup that is served: it reads, follows the next backups, and writes nothing until it is promoted."""

import json
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from lading import cli, logs
from lading.jobs.backup import BackupOptions, back_up
from lading.jobs.backup.marker import FILE
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.query import Query
from lading_storage.records.jobs import LastPull
from lading_storage.stores import Stores
from tests.support import images
from tests.support.folder_stores import folder_stores
from tests.support.registry_pushes import push_image
from tests.support.server_process import Server, run_lading, serving, user_environment

WRITES = [
    ("POST", "/v2/a/blobs/uploads/"),
    ("POST", f"/v2/a/blobs/uploads/?digest={digest_of(b'x')}"),
    ("PATCH", "/v2/a/blobs/uploads/0"),
    ("PUT", "/v2/a/blobs/uploads/0"),
    ("DELETE", "/v2/a/blobs/uploads/0"),
    ("PUT", "/v2/a/manifests/v1"),
    ("DELETE", "/v2/a/manifests/v1"),
    ("DELETE", f"/v2/a/blobs/{digest_of(b'x')}"),
]
COMMANDS = [
    ["gc"],
    ["vacuum"],
    ["delete", "a:v1"],
    ["rollback", "a:v1"],
    ["tag", "a:v1", "v2"],
    ["undelete", "a"],
    ["scrub", "--repair"],
    ["running", "report", "c"],
    ["running", "forget", "c"],
    ["robots", "create", "ci", "--repositories", "a"],
    ["robots", "rotate", "ci"],
    ["robots", "revoke", "ci"],
    ["cleanup", "apply", "--cleanup", "[]"],
    ["restore", "../backup"],
    ["events", "publish"],
    ["events", "replay", "--since", "2026-01-01"],
    ["webhooks", "add", "https://ci.example.com/"],
    ["webhooks", "test", "ci"],
    ["webhooks", "retry", "ci"],
    ["scan", "a:v1", "--again"],
    ["scan-missing"],
    ["vulnerabilities", "update", "npm"],
    ["vulnerabilities", "import", "."],
]


@pytest.fixture
def backup(stores: Stores, registry: Registry, tmp_path: Path) -> Path:
    push_image(registry, "a", "v1", layers=2)
    back_up(stores, tmp_path / "backup", BackupOptions(origin="the-source"))
    return tmp_path / "backup"


def data(folder: Path) -> Mapping[str, str]:
    """The environment of a server of that folder alone, whatever the stores of the test are."""
    return {"LADING_DATA": str(folder), "LADING_BLOBS": "", "LADING_METADATA": ""}


def tags(server: Server) -> list[str]:
    names: list[str] = json.loads(server.request("GET", "/v2/a/tags/list")[1])["tags"]
    return names


def test_a_standby_reads_refuses_writes_and_follows(
    stores: Stores, registry: Registry, backup: Path, tmp_path: Path
) -> None:
    with serving(data(backup), tmp_path / "log") as server:
        for method, path in WRITES:
            response, body = server.request(method, path, b"x")
            error = json.loads(body)["errors"][0]
            assert (response.status, error["code"]) == (405, "UNSUPPORTED"), (method, path)
            assert "standby of registry" in error["message"]
            assert "the-source" in error["message"]
        assert tags(server) == ["v1"]
        newer = push_image(registry, "a", "v2")

        back_up(stores, backup)

        assert tags(server) == ["v1", "v2"]
        for blob in newer.blobs:
            response, body = server.request("GET", f"/v2/a/blobs/{blob}")
            assert digest_of(body) == blob
        response, body = server.request("GET", "/v2/a/manifests/v2")
        assert digest_of(body) == newer.digest
        assert server.stop() == 0
    copy = folder_stores(backup)
    assert copy.metadata.find(Query(LastPull, repository="a", limit=9)) == [], "pulls are not noted"
    copy.close()


def test_a_reader_sees_one_state_or_the_next_while_backups_come_in(
    stores: Stores, registry: Registry, backup: Path, tmp_path: Path
) -> None:
    stop = threading.Event()
    wrong: list[str] = []

    def pull_all(server: Server) -> None:
        while not stop.is_set():
            for tag in tags(server):
                response, manifest = server.request("GET", f"/v2/a/manifests/{tag}")
                if response.status != 200:
                    wrong.append(f"{tag}: {response.status}")
                    continue
                document = json.loads(manifest)
                for blob in (document["config"], *document["layers"]):
                    response, body = server.request("GET", f"/v2/a/blobs/{blob['digest']}")
                    if response.status != 200 or digest_of(body) != blob["digest"]:
                        wrong.append(f"{tag}: {blob['digest']}: {response.status}")

    with serving(data(backup), tmp_path / "log") as server:
        threads = [threading.Thread(target=pull_all, args=[server]) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(5):
            for each in range(3):
                push_image(registry, "a", f"t{number}-{each}")
            back_up(stores, backup)
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_standby_issues_tokens_and_makes_no_user(backup: Path, tmp_path: Path) -> None:
    variables, authorization = user_environment(tmp_path / "who")
    with serving({**data(backup), **variables}, tmp_path / "log") as server:
        response, body = server.request(
            "GET", "/v2/token?scope=repository:a:pull", headers={"Authorization": authorization}
        )
        assert response.status == 200
        token = json.loads(body)["token"]
        response, _ = server.request("GET", "/v2/a/manifests/v1", headers={"Authorization": f"Bearer {token}"})
        assert response.status == 200
    with serving({**data(backup), "LADING_ACCESS": "users"}, tmp_path / "log2") as server:
        assert "standby of registry" in server.log.read_text()
    assert not (backup / "users.htpasswd").exists()


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_a_command_that_writes_is_refused_on_a_standby(words: list[str], backup: Path, tmp_path: Path) -> None:
    before = (backup / "metadata.sqlite").read_bytes()

    done = run_lading(words, tmp_path, data(backup), stdin="a:v1\n")

    assert done.returncode == 1
    assert "standby of registry" in done.stderr
    assert "lading promote" in done.stderr
    assert (backup / "metadata.sqlite").read_bytes() == before


def test_a_store_of_a_backup_that_is_given_on_its_own_is_not_written(backup: Path, tmp_path: Path) -> None:
    for name, url in (
        ("LADING_BLOBS", (backup / "blobs").as_uri()),
        ("LADING_METADATA", f"sqlite://{backup / 'metadata.sqlite'}"),
    ):
        done = run_lading(["gc"], tmp_path, {**data(tmp_path / "elsewhere"), name: url})
        assert done.returncode == 1
        assert "standby of registry" in done.stderr


def test_commands_that_read_work_on_a_standby(backup: Path, tmp_path: Path) -> None:
    for words in (
        ["ls"],
        ["show", "a:v1"],
        ["history", "a"],
        ["deleted", "a"],
        ["du"],
        ["robots", "list"],
        ["in-use", "list"],
        ["vulnerabilities", "status"],
        ["scrub"],
    ):
        done = run_lading(words, tmp_path, data(backup))
        assert done.returncode == 0, done.stderr


def test_a_promoted_standby_takes_writes(backup: Path, tmp_path: Path) -> None:
    done = run_lading(["promote", str(backup)], tmp_path)

    assert done.returncode == 0, done.stderr
    assert not (backup / FILE).exists()
    config = images.EMPTY_CONFIG
    with serving(data(backup), tmp_path / "log") as server:
        path = f"/v2/b/blobs/uploads/?digest={digest_of(config)}"
        assert server.request("POST", path, config)[0].status == 201
        assert tags(server) == ["v1"]


def test_a_standby_publishes_and_delivers_nothing_until_it_is_promoted(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The original registry does: what is published twice would set off two deployments."""
    started = list[set[str]]()

    def record(*arguments: Any) -> None:
        started.append({each._name for each in arguments[-1]})

    for name, value in data(backup).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("lading.server.serve.serve", record)
    monkeypatch.setattr("lading.server.listener.listen", lambda settings: nullcontext([]))
    monkeypatch.setattr("lading.commands.serve._exit_at_interrupts", lambda: None)
    monkeypatch.setattr("lading.commands.serve._end_process", lambda: None)
    monkeypatch.setattr(logs, "start", lambda *_: None)
    words = ["serve", "--access", "everybody"]
    assert cli.main(words) == 0
    of_standby = capsys.readouterr().out
    assert run_lading(["promote", str(backup)], tmp_path).returncode == 0
    assert cli.main(words) == 0
    assert started[0] == set()
    assert started[1] >= {"publish", "deliver", "scan"}
    assert "scans     nothing: the results are those that the backup has" in of_standby
    assert "docker push" not in of_standby
    of_promoted = capsys.readouterr().out
    assert "scans     each image that is pushed" in of_promoted
    assert "docker push" in of_promoted


def test_a_first_backup_that_has_not_ended_is_not_served(backup: Path, tmp_path: Path) -> None:
    marker = json.loads((backup / FILE).read_text())
    (backup / FILE).write_text(json.dumps({**marker, "finished": ""}))

    done = run_lading(["serve", "--address", "127.0.0.1:1", "--access", "everybody"], tmp_path, data(backup))

    assert done.returncode == 1
    assert "has not ended" in done.stderr


def test_backup_says_what_it_refuses(backup: Path, environment: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()

    done = run_lading(["backup", str(tmp_path / "full")], tmp_path, environment)
    again = run_lading(["backup", str(backup), "--prune"], tmp_path, environment)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"lading: {tmp_path / 'full'} is not empty, and is not a backup; use an empty folder\n"
    assert again.returncode == 0, again.stderr
