"""What a cold start imports: only what the first request needs. Each of these costs as much as all of Lading."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from emulators import Emulators
from lading import settings
from lading.composition import open_blobs, open_metadata
from lading.configured_rules import configure_rules
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.query import Query
from lading_storage.records.jobs import LastPull
from tests.support import fake_iam_world, images
from tests.support.app_client import make_client
from tests.support.function_commands import IN_CLOUD_RUN
from tests.support.server_process import SOURCE_ROOTS

OF_SCANS = ("cvss", "cyclonedx", "dissect", "packageurl", "tarfile", "univers")
HEAVY = ("grpc", "google.cloud.firestore", "google.cloud.storage", "flask", "functions_framework", "sqlite3", *OF_SCANS)

PULL = """
import sys
from werkzeug.test import Client
from lading.server import serve; from lading import settings
from lading.composition import create
client = Client(create(settings.load_settings()))
for path in sys.argv[1:]:
    print(client.get(path).status_code)
print(*sys.modules)
"""

ALL_AT_ONCE = """
import threading
from lading import settings
from lading.composition import open_blobs, open_metadata
from lading_storage.errors import Conflict
from lading_storage.protocols import Touch
from lading_storage.query import Query
from lading_storage.records.core import Key, Link, Repository
read = settings.load_settings()
blobs, metadata = open_blobs(read.blobs), open_metadata(read.metadata)
start, done = threading.Barrier(12), []
def do(what):
    start.wait()
    try:
        what()
    except Conflict:
        pass
    done.append(what)
threads = [threading.Thread(target=do, args=[what]) for what in 3 * (
    lambda: metadata.find(Query(Link, {"id": "a"}, repository=None, limit=1)),
    lambda: metadata.find(Query(Repository, limit=1)),
    lambda: metadata.commit([Touch(Key(Repository, "a"))]),
    lambda: blobs.delete("a/b"),
)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(done))
"""

TAKE_OVER = """
import os, sys
import functions_framework
before = set(sys.modules)
def execv(program, words):
    print(*words[1:])
    print(*set(sys.modules) - before)
    os._exit(0)
os.execv = execv
import main
"""


SERVE = """
import sys
from lading import cli
print(cli.main(["serve"]))
print(*sys.modules)
"""


def run(script: str, environment: Mapping[str, str], *words: str) -> list[str]:
    """The lines that a script prints."""
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        env={**os.environ, "PYTHONPATH": SOURCE_ROOTS, "PYTHONUNBUFFERED": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_pull_imports_none_of_googles_clients(emulators: Emulators, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(fake_iam_world.service_account_key())
    environment = {
        **emulators.fresh_stores(),
        "LADING_ACCESS": "gs://policy",
        "LADING_PUBLIC": "team/*",
        "LADING_DATA": str(tmp_path),
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json"),
    }
    layer = images.blob()
    push(environment, layer)

    *statuses, modules = run(
        PULL, environment, "/v2/", "/v2/team/app/manifests/v1", f"/v2/team/app/blobs/{digest_of(layer)}"
    )

    assert statuses == ["401", "200", "307"]
    assert set(modules.split()) & {*HEAVY, "lading.registry.cleanup.policy_json"} == set()
    assert [each for each in modules.split() if f"{each}.".startswith(("lading.events.", "lading.jobs."))] == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRESTORE_EMULATOR_HOST", environment["FIRESTORE_EMULATOR_HOST"])
        metadata = open_metadata(environment["LADING_METADATA"])
        assert len(metadata.find(Query(LastPull, repository="team/app", limit=10))) == 1, (
            "the pull is on record, without them"
        )
        metadata.close()


def push(environment: Mapping[str, str], layer: bytes) -> None:
    """Push an image team/app:v1."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        read = settings.load_settings(environment)
        registry = Registry(open_blobs(read.blobs), open_metadata(read.metadata))
        # As the first start of a server does.
        configure_rules(read, registry)
        make_client(registry).push_image("team/app", "v1", layer)
        registry.close()


@pytest.mark.parametrize(
    ("address", "program"),
    [({}, "lading.server.envoy_supervisor"), ({"LADING_ADDRESS": "0.0.0.0:8081"}, "lading.cli serve")],
    ids=["with Envoy", "beside a sidecar"],
)
def test_the_function_makes_room_before_it_imports_anything(address: Mapping[str, str], program: str) -> None:
    words, modules = run(TAKE_OVER, {**IN_CLOUD_RUN, **address})

    assert words == f"-m {program}"
    ours = {module for module in modules.split() if module.startswith("lading")}
    assert ours == set()


def test_serve_imports_no_other_command(tmp_path: Path) -> None:
    status, modules = run(SERVE, {"LADING_DATA": str(tmp_path), "LADING_ADDRESS": "nowhere"})

    assert status != "0"
    commands = {module for module in modules.split() if module.startswith("lading.commands.")}
    assert commands == {f"lading.commands.{name}" for name in ("serve", "first_user", "options", "exit_status")}


def test_many_can_need_googles_clients_at_once(emulators: Emulators) -> None:
    assert run(ALL_AT_ONCE, emulators.fresh_stores()) == ["12"]
