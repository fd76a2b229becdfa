"""The first release serves a folder, this one opens it meanwhile: nothing that either acknowledged is lost.

The first release's code lies beside: `release-0.1.0.tar.xz` holds `functions` and `storage` of commit 12e6d18.
"""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pytest

from lading_storage.digests import digest_of
from tests.faults.exact_client import ExactClient
from tests.support import images
from tests.support.server_process import Server, serving

ROOT: Final = Path(__file__).parents[2]
RELEASE: Final = Path(__file__).parent / "release-0.1.0.tar.xz"
LAYER: Final = images.blob(1000)
TAGS: Final = [f"v{number}" for number in range(12)]


def content_of(tag: str) -> bytes:
    return images.manifest([LAYER], annotations={"tag": tag})


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first release's code."""
    folder = tmp_path_factory.mktemp("release")
    with tarfile.open(RELEASE) as files:
        files.extractall(folder, filter="data")
    return folder


@contextmanager
def served_by(code: Path, data: Path, log: Path) -> Iterator[tuple[Server, ExactClient]]:
    """A registry on `data` that runs the code in a folder, and a client."""
    command = [sys.executable, "-P", "-m", "functions.cli", "serve", "--address", "127.0.0.1:{port}"]
    with (
        serving({"LADING_DATA": str(data), "PYTHONPATH": str(code)}, log, command=command) as server,
        closing(ExactClient(server.port)) as client,
    ):
        yield server, client


def push(client: ExactClient, tag: str) -> int:
    return client.put_manifest("a", tag, content_of(tag)).status


def named(client: ExactClient) -> Mapping[str, bytes | None]:
    """What each tag names, byte for byte."""
    asked = {tag: client.request("GET", f"/v2/a/manifests/{tag}") for tag in TAGS}
    return {tag: told.body if told.status == 200 else None for tag, told in asked.items()}


def test_what_the_release_before_acknowledged_is_there_and_it_writes_no_more(release: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with served_by(release, data, tmp_path / "old.log") as (_, old):
        for content in (images.EMPTY_CONFIG, LAYER):
            assert old.push_blob("a", content).status == 201
        acknowledged = {tag for tag in TAGS[:10] if push(old, tag) == 201}
        assert old.request("DELETE", "/v2/a/manifests/v9").status == 202
        moves = old.request("GET", "/v2/_lading/a/history").body
        assert len(acknowledged) == 10

        with served_by(ROOT, data, tmp_path / "new.log") as (_, new):
            expected = {tag: content_of(tag) if tag in acknowledged - {"v9"} else None for tag in TAGS}
            assert named(new) == expected
            assert json.loads(new.request("GET", "/v2/_lading/a/history").body) == {**json.loads(moves), "next": ""}
            assert new.request("GET", f"/v2/a/blobs/{digest_of(LAYER)}").body == LAYER

            for refused in (push(old, "v10"), old.request("DELETE", "/v2/a/manifests/v1").status):
                assert refused == 503
            assert old.request("POST", "/v2/a/blobs/uploads/", b"").status == 503
            assert named(new) == expected

            assert push(new, "v11") == 201
            assert push(old, "v11") == 503
        with served_by(ROOT, data, tmp_path / "again.log") as (_, new):
            assert named(new) == {**expected, "v11": content_of("v11")}


def test_of_pushes_beside_the_upgrade_each_is_acknowledged_and_there_or_refused(release: Path, tmp_path: Path) -> None:
    """The older one pushes in a loop while the newer one opens the store."""
    data, statuses = tmp_path / "data", list[int]()
    with served_by(release, data, tmp_path / "old.log") as (_, old):
        for content in (images.EMPTY_CONFIG, LAYER):
            assert old.push_blob("a", content).status == 201
        environment = {**os.environ, "LADING_DATA": str(data)}
        upgrade = subprocess.Popen(
            [sys.executable, "-m", "lading.cli", "gc"],  # commands that only read do not upgrade
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        while upgrade.poll() is None or (upgrade.returncode == 0 and statuses[-1] == 201):
            statuses.append(push(old, TAGS[len(statuses) % len(TAGS)] if len(statuses) < 12 else f"w{len(statuses)}"))
        assert upgrade.returncode == 0
    assert statuses[0] == 201
    first_refused = statuses.index(503)
    assert set(statuses[:first_refused]) == {201}
    assert set(statuses[first_refused:]) == {503}

    with served_by(ROOT, data, tmp_path / "new.log") as (_, new):
        for number in range(first_refused):
            tag = TAGS[number] if number < 12 else f"w{number}"
            assert new.request("GET", f"/v2/a/manifests/{tag}").body == content_of(tag)
